"""IMDb sentiment with a small dense network on frozen MPNet sentence embeddings.

accelerate launch scripts/run_recipe.py text/mlp_frozen
"""

from hf_transfer import FrozenFeatures, MLPHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="MLP head on frozen, pooled MPNet features",
    data=TextClassification("stanfordnlp/imdb", text="text", validation=0.1, test="test"),
    backbone=TextBackbone("sentence-transformers/all-mpnet-base-v2", max_length=256),
    head=MLPHead(hidden_sizes=(256,), dropout=0.2),
    strategy=FrozenFeatures(),
    training=dict(learning_rate=1e-3, num_train_epochs=15, per_device_train_batch_size=64, weight_decay=0.01),
)
