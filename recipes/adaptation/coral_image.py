"""From MNIST to SVHN: source features given the target's covariance in closed form.

accelerate launch scripts/run_recipe.py adaptation/coral_image
"""

from hf_transfer import FrozenFeatures, ImageBackbone, ImageClassification, LinearHead, Recipe, SourceTarget

RECIPE = Recipe(
    summary="MNIST to SVHN: source features given the target's mean and covariance",
    data=SourceTarget(
        source=ImageClassification("ylecun/mnist", image="image", label="label", validation=0.1, test="test"),
        target=ImageClassification("ufldl-stanford/svhn:cropped_digits", image="image", label="label"),
        test="test",
        align="coral",
    ),
    backbone=ImageBackbone("timm/efficientnet_b0.ra_in1k", image_size=96, augmentation="none"),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
