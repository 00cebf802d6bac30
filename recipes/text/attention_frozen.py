"""SST-2 sentiment with multi-head attention pooling over frozen DistilBERT token states.

accelerate launch scripts/run_recipe.py text/attention_frozen
"""

from hf_transfer import AttentionHead, FrozenFeatures, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="multi-head attention pooling on frozen token states",
    # The labels of its own test split are hidden (all -1), so its validation split is the test.
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("distilbert/distilbert-base-uncased", max_length=128),
    head=AttentionHead(num_heads=4, dropout=0.1),
    strategy=FrozenFeatures(),
    training=dict(learning_rate=1e-3, num_train_epochs=5, per_device_train_batch_size=64),
)
