"""Cat and dog breeds (Oxford-IIIT Pet) with the frozen features of two timm nets, mixed by a learned weight.

accelerate launch scripts/run_recipe.py vision/fused_nets
"""

from hf_transfer import FrozenFeatures, FusedBackbone, ImageBackbone, ImageClassification, LinearHead, Recipe

RECIPE = Recipe(
    summary="linear layer on alpha * EfficientNet-B0 + (1 - alpha) * ViT-Tiny, frozen, alpha learned",
    data=ImageClassification("timm/oxford-iiit-pet", image="image", label="label", validation=0.1, test="test"),
    backbone=FusedBackbone(
        parts={
            "source": ImageBackbone("timm/efficientnet_b0.ra_in1k"),
            "target": ImageBackbone("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"),  # another normalisation
        },
        fusion="weighted",
        alpha=None,  # a sigmoid, so between 0 and 1; the two widths differ, so both are projected to the smaller one
    ),
    head=LinearHead(),
    strategy=FrozenFeatures(),
    training=dict(learning_rate=3e-3, num_train_epochs=20, per_device_train_batch_size=64),
)
