"""SST-2 sentiment with a bidirectional GRU over frozen DistilBERT token states.

accelerate launch scripts/run_recipe.py text/gru_frozen
"""

from hf_transfer import FrozenFeatures, GRUHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="2-layer bidirectional GRU head on frozen token states",
    # The labels of its own test split are hidden (all -1), so its validation split is the test.
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("distilbert/distilbert-base-uncased", max_length=128),
    head=GRUHead(hidden_size=256, num_layers=2, dropout=0.2),
    strategy=FrozenFeatures(),
    training=dict(learning_rate=1e-3, num_train_epochs=5, per_device_train_batch_size=64),
)
