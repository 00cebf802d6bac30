"""CIFAR-100 with dense layers of 1024 and 512 units on the frozen convolutional features of timm's VGG16.

accelerate launch scripts/run_recipe.py vision/vgg16_mlp
"""

from hf_transfer import FrozenFeatures, ImageBackbone, ImageClassification, MLPHead, Recipe

RECIPE = Recipe(
    summary="dense head 1024-512 on frozen VGG16's pooled convolutional features (512-d)",
    data=ImageClassification("uoft-cs/cifar100", image="img", label="fine_label", validation=0.1, test="test"),
    backbone=ImageBackbone("timm/vgg16.tv_in1k", image_size=128),  # the images have 32 pixels: 224 would be waste
    head=MLPHead(hidden_sizes=(1024, 512), dropout=0.3),
    strategy=FrozenFeatures(),
    training=dict(learning_rate=1e-3, num_train_epochs=15, per_device_train_batch_size=64, weight_decay=0.01),
)
