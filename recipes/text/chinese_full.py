"""Sentiment of Chinese hotel, book and laptop reviews (ChnSentiCorp) with Chinese BERT, everything trained.

accelerate launch scripts/run_recipe.py text/chinese_full
"""

from hf_transfer import FullFineTune, NativeHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="stock sequence-classification Chinese BERT, everything trained",
    data=TextClassification("lansinuote/ChnSentiCorp", text="text", validation="validation", test="test"),
    backbone=TextBackbone("google-bert/bert-base-chinese", max_length=256),  # about one token per character
    head=NativeHead(),
    strategy=FullFineTune(),
    training=dict(
        learning_rate=3e-5, num_train_epochs=3, per_device_train_batch_size=32, warmup_steps=0.1, weight_decay=0.01
    ),
)
