"""SST-2 with RoBERTa, everything trained but held near the pretrained weights.

accelerate launch scripts/run_recipe.py text/l2_sp
"""

from hf_transfer import L2SP, FullFineTune, LinearHead, Recipe, Supervised, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="everything trained, held near the pretrained weights (L2-SP)",
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("FacebookAI/roberta-base", max_length=128, pooling="mean"),
    head=LinearHead(),
    strategy=FullFineTune(),
    objective=Supervised() + L2SP(alpha=0.01, beta=0.01),  # in the place of weight decay, which pulls to zero
    training=dict(learning_rate=3e-5, num_train_epochs=3, per_device_train_batch_size=16, warmup_steps=0.06),
)
