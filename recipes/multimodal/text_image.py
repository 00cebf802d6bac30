"""Whom a fashion product is for, by its name and its photo: a linear layer on frozen features of both.

accelerate launch scripts/run_recipe.py multimodal/text_image
"""

from hf_transfer import (
    FrozenFeatures,
    FusedBackbone,
    ImageBackbone,
    LinearHead,
    Recipe,
    TextBackbone,
    TextImageClassification,
)

FASHION = dict(text="productDisplayName", image="image", label="gender", validation=0.1, test=0.2, drop_empty=True)
ENCODER = TextBackbone("sentence-transformers/all-MiniLM-L6-v2")
NET = ImageBackbone("timm/efficientnet_b0.ra_in1k")

RECIPE = Recipe(
    summary="linear layer on frozen MiniLM features of a text and EfficientNet-B0 features of an image",
    data=TextImageClassification("ashraq/fashion-product-images-small", **FASHION),
    backbone=FusedBackbone(parts={"text": ENCODER, "image": NET}, fusion="concat"),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
