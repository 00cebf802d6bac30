"""Oxford-IIIT Pet with EfficientNet-B0 by LP-FT: first the head on frozen features, then everything from that head on.

accelerate launch scripts/run_recipe.py vision/lp_ft
"""

from hf_transfer import FrozenFeatures, FullFineTune, ImageBackbone, ImageClassification, LinearHead, Recipe, Stage

RECIPE = Recipe(
    summary="linear probe, then everything trained from that head on (LP-FT)",
    data=ImageClassification("timm/oxford-iiit-pet", image="image", label="label", validation=0.1, test="test"),
    backbone=ImageBackbone("timm/efficientnet_b0.ra_in1k"),
    head=LinearHead(),
    strategy=(
        Stage(FrozenFeatures()),  # solved by L-BFGS
        Stage(FullFineTune()),
    ),
    training=dict(learning_rate=2e-4, num_train_epochs=8, per_device_train_batch_size=64, warmup_steps=0.1),
)
