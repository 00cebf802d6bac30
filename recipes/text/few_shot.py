"""Sentiment from eight labelled reviews per class: a contrastively trained MPNet and a linear head (SetFit's idea).

accelerate launch scripts/run_recipe.py text/few_shot
"""

from hf_transfer import Contrastive, FrozenFeatures, LinearHead, Recipe, Stage, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="encoder trained on pairs of few labelled rows, then a linear head (SetFit)",
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation", train_per_class=8),
    backbone=TextBackbone("sentence-transformers/paraphrase-mpnet-base-v2", max_length=128),
    head=LinearHead(),
    strategy=(
        Stage(Contrastive(pairs_per_row=20)),
        Stage(FrozenFeatures()),  # solved by L-BFGS
    ),
    training=dict(learning_rate=2e-5, num_train_epochs=1, per_device_train_batch_size=16, warmup_steps=0.1),
)
