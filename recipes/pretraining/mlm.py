"""Masked-language modelling goes on over 50,000 unlabelled film reviews (DAPT): what comes out starts other recipes.

accelerate launch scripts/run_recipe.py pretraining/mlm
"""

from hf_transfer import FullFineTune, MaskedLMHead, RawText, Recipe, TextBackbone

RECIPE = Recipe(
    summary="RoBERTa reads on: masked-language modelling of raw text",
    data=RawText("stanfordnlp/imdb", train_split="unsupervised", text="text", validation=0.02),
    backbone=TextBackbone("FacebookAI/roberta-base", max_length=256),  # longer texts become several pieces
    head=MaskedLMHead(probability=0.15),
    strategy=FullFineTune(),
    training=dict(
        learning_rate=5e-5, num_train_epochs=3, per_device_train_batch_size=32, warmup_steps=0.06, weight_decay=0.01
    ),
)
