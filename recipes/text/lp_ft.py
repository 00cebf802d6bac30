"""SST-2 with RoBERTa by LP-FT: first the head on frozen features, then everything from that head on.

accelerate launch scripts/run_recipe.py text/lp_ft
"""

from hf_transfer import FrozenFeatures, FullFineTune, LinearHead, Recipe, Stage, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="linear probe, then everything trained from that head on (LP-FT)",
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("FacebookAI/roberta-base", max_length=128, pooling="mean"),
    head=LinearHead(),
    strategy=(
        Stage(FrozenFeatures()),  # solved by L-BFGS
        Stage(FullFineTune()),
    ),
    training=dict(learning_rate=2e-5, num_train_epochs=3, per_device_train_batch_size=16, warmup_steps=0.06),
)
