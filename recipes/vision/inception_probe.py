"""Food-101 with a linear layer on a frozen Inception-v3.

accelerate launch scripts/run_recipe.py vision/inception_probe
"""

from hf_transfer import FrozenFeatures, ImageBackbone, ImageClassification, LinearHead, Recipe

RECIPE = Recipe(
    summary="linear layer on frozen Inception-v3 features",
    # Its second half is named validation and is what papers report, so it is the test.
    data=ImageClassification("ethz/food101", image="image", label="label", validation=0.1, test="validation"),
    backbone=ImageBackbone("timm/inception_v3.tv_in1k"),  # 299 pixels, as it was trained
    head=LinearHead(),  # solved by L-BFGS, the L2 penalty chosen on the validation rows: no step size, no epochs
    strategy=FrozenFeatures(),
)
