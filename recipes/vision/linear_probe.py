"""Cat and dog breeds (Oxford-IIIT Pet) with a linear layer on a frozen EfficientNet-B0.

accelerate launch scripts/run_recipe.py vision/linear_probe
"""

from hf_transfer import FrozenFeatures, ImageBackbone, ImageClassification, LinearHead, Recipe

RECIPE = Recipe(
    summary="linear layer on frozen EfficientNet-B0 features",
    data=ImageClassification("timm/oxford-iiit-pet", image="image", label="label", validation=0.1, test="test"),
    backbone=ImageBackbone("timm/efficientnet_b0.ra_in1k"),
    head=LinearHead(),
    strategy=FrozenFeatures(),
    training=dict(learning_rate=1e-3, num_train_epochs=20, per_device_train_batch_size=32, weight_decay=0.01),
)
