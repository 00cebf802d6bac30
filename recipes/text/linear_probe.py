"""AG News topics with a linear layer on frozen MiniLM sentence embeddings.

accelerate launch scripts/run_recipe.py text/linear_probe
"""

from hf_transfer import FrozenFeatures, LinearHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="linear layer on frozen, pooled MiniLM features",
    data=TextClassification("fancyzhx/ag_news", text="text", validation=0.1, test="test"),
    backbone=TextBackbone("sentence-transformers/all-MiniLM-L6-v2"),  # pooling: what the checkpoint says, the mean
    head=LinearHead(),
    strategy=FrozenFeatures(),
    # The step is large because the features are unit vectors: with 1e-3 the layer has not converged after 30 epochs.
    training=dict(learning_rate=3e-2, num_train_epochs=30, per_device_train_batch_size=32, weight_decay=0.03),
)
