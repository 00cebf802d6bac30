"""From MNIST to SVHN: source rows weighted by kernel mean matching.

accelerate launch scripts/run_recipe.py adaptation/reweighted_kmm_image
"""

from hf_transfer import KMM, FrozenFeatures, ImageBackbone, ImageClassification, LinearHead, Recipe, SourceTarget

RECIPE = Recipe(
    summary="MNIST to SVHN: source rows weighted by kernel mean matching",
    data=SourceTarget(
        source=ImageClassification("ylecun/mnist", image="image", label="label", validation=0.1, test="test"),
        target=ImageClassification("ufldl-stanford/svhn:cropped_digits", image="image", label="label"),
        test="test",
        weights=KMM(),
        selection="weighted",
    ),
    backbone=ImageBackbone("timm/efficientnet_b0.ra_in1k", image_size=96, augmentation="none"),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
