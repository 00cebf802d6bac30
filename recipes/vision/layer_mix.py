"""Cat and dog breeds (Oxford-IIIT Pet) with a linear layer on a learned mix of a frozen ViT's blocks.

accelerate launch scripts/run_recipe.py vision/layer_mix

On a convolutional net, such as --demo's, the stages are mixed: pooled, brought to one width, weighed.
"""

from hf_transfer import FrozenFeatures, ImageBackbone, ImageClassification, LayerFusion, LinearHead, Recipe

RECIPE = Recipe(
    summary="linear layer on a learned mix of all blocks of a frozen net",
    data=ImageClassification("timm/oxford-iiit-pet", image="image", label="label", validation=0.1, test="test"),
    backbone=ImageBackbone("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", fusion=LayerFusion("scalar_mix")),
    head=LinearHead(),  # by gradient descent: with the weights of the mix it is no linear problem
    strategy=FrozenFeatures(),
    training=dict(learning_rate=1e-2, num_train_epochs=20, per_device_train_batch_size=64),
)
