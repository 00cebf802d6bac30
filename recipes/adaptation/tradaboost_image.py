"""From MNIST to SVHN: source rows weighted by TrAdaBoost, with 50 target labels per class.

accelerate launch scripts/run_recipe.py adaptation/tradaboost_image
"""

from hf_transfer import (
    FrozenFeatures,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    Recipe,
    SourceTarget,
    TrAdaBoost,
)

RECIPE = Recipe(
    summary="MNIST to SVHN: source rows weighted by TrAdaBoost, with 50 target labels per class",
    data=SourceTarget(
        source=ImageClassification("ylecun/mnist", image="image", label="label", validation=0.1, test="test"),
        target=ImageClassification("ufldl-stanford/svhn:cropped_digits", train_per_class=50),
        test="test",
        target_labels=True,
        weights=TrAdaBoost(),
    ),
    backbone=ImageBackbone("timm/efficientnet_b0.ra_in1k", image_size=96, augmentation="none"),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
