"""From MNIST to SVHN: what the source alone gives, on frozen features.

accelerate launch scripts/run_recipe.py adaptation/source_only_image
"""

from hf_transfer import FrozenFeatures, ImageBackbone, ImageClassification, LinearHead, Recipe, SourceTarget

RECIPE = Recipe(
    summary="MNIST to SVHN: a linear layer learnt on the source alone",
    data=SourceTarget(
        source=ImageClassification("ylecun/mnist", image="image", label="label", validation=0.1, test="test"),
        target=ImageClassification("ufldl-stanford/svhn:cropped_digits", image="image", label="label"),
        test="test",
    ),
    backbone=ImageBackbone("timm/efficientnet_b0.ra_in1k", image_size=96, augmentation="none"),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
