"""SST-2 sentiment with RoBERTa's stock classification model, everything trained.

accelerate launch scripts/run_recipe.py text/full_finetune
"""

from hf_transfer import FullFineTune, NativeHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="stock sequence-classification RoBERTa, everything trained",
    # The labels of its own test split are hidden (all -1), so its validation split is the test.
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("FacebookAI/roberta-base", max_length=128),
    head=NativeHead(),
    strategy=FullFineTune(),
    training=dict(
        learning_rate=3e-5, num_train_epochs=3, per_device_train_batch_size=16, warmup_steps=0.06, weight_decay=0.1
    ),
)
