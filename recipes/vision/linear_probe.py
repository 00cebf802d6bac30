"""Cat and dog breeds (Oxford-IIIT Pet) with a linear layer on a frozen EfficientNet-B0.

accelerate launch scripts/run_recipe.py vision/linear_probe
"""

from hf_transfer import FrozenFeatures, ImageBackbone, ImageClassification, LinearHead, Recipe

RECIPE = Recipe(
    summary="linear layer on frozen EfficientNet-B0 features",
    data=ImageClassification("timm/oxford-iiit-pet", image="image", label="label", validation=0.1, test="test"),
    backbone=ImageBackbone("timm/efficientnet_b0.ra_in1k"),
    head=LinearHead(),  # solved by L-BFGS, the L2 penalty chosen on the validation rows: no step size, no epochs
    strategy=FrozenFeatures(),
)
