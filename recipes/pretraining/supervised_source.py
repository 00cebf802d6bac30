"""RoBERTa learns a labelled source task, topic of a news text; what comes out starts recipes with fewer labels.

accelerate launch scripts/run_recipe.py pretraining/supervised_source
"""

from hf_transfer import FullFineTune, NativeHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="RoBERTa learns a labelled source task that another recipe starts from",
    data=TextClassification("fancyzhx/ag_news", text="text", label="label", validation=0.05, test="test"),
    backbone=TextBackbone("FacebookAI/roberta-base", max_length=128),
    head=NativeHead(),
    strategy=FullFineTune(),
    training=dict(
        learning_rate=3e-5, num_train_epochs=2, per_device_train_batch_size=32, warmup_steps=0.06, weight_decay=0.1
    ),
)
