"""SST-2 with RoBERTa as ULMFiT fine-tunes: one more block per epoch, lower ones slower, a slanted triangular rate.

accelerate launch scripts/run_recipe.py text/gradual_unfreeze
"""

from hf_transfer import GradualUnfreeze, LinearHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="gradual unfreezing with discriminative learning rates (ULMFiT)",
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("FacebookAI/roberta-base", max_length=128, pooling="mean"),
    head=LinearHead(),
    strategy=GradualUnfreeze(per_epoch=4, layer_decay=0.8, slanted_triangular=True),
    training=dict(learning_rate=1e-4, num_train_epochs=5, per_device_train_batch_size=16, weight_decay=0.1),
)
