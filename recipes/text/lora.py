"""SST-2 with RoBERTa and low-rank updates, merged into the weights when saved.

accelerate launch scripts/run_recipe.py text/lora
"""

from hf_transfer import LinearHead, LoRA, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="low-rank updates beside every linear layer (LoRA), merged when saved",
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("FacebookAI/roberta-base", max_length=128, pooling="mean"),
    head=LinearHead(),
    strategy=LoRA(rank=8, alpha=16.0),
    training=dict(learning_rate=5e-4, num_train_epochs=3, per_device_train_batch_size=16, warmup_steps=0.06),
)
