"""SimCLR on images without labels, from ImageNet weights on: what comes out starts other recipes.

accelerate launch scripts/run_recipe.py pretraining/simclr
"""

from hf_transfer import FullFineTune, ImageBackbone, ProjectionHead, RawImages, Recipe

RECIPE = Recipe(
    summary="ResNet-18 learns from pairs of views, without labels (SimCLR)",
    data=RawImages("uoft-cs/cifar10", image="img", validation=0.05),
    backbone=ImageBackbone("timm/resnet18.a1_in1k", image_size=64),
    head=ProjectionHead(size=128, temperature=0.1),
    strategy=FullFineTune(),
    # Every other image of a batch is a negative: the larger the batch, the better.
    training=dict(learning_rate=3e-4, num_train_epochs=10, per_device_train_batch_size=256, weight_decay=1e-4),
)
