"""CIFAR-10 with timm's ResNet-18, everything trained.

accelerate launch scripts/run_recipe.py vision/full_finetune
"""

from hf_transfer import FullFineTune, ImageBackbone, ImageClassification, NativeHead, Recipe

RECIPE = Recipe(
    summary="ResNet-18, everything trained",
    data=ImageClassification("uoft-cs/cifar10", image="img", label="label", validation=0.1, test="test"),
    backbone=ImageBackbone("timm/resnet18.a1_in1k", image_size=128),  # the images have 32 pixels: 224 would be waste
    head=NativeHead(),
    strategy=FullFineTune(),
    training=dict(
        learning_rate=5e-4, num_train_epochs=8, per_device_train_batch_size=64, warmup_steps=0.1, weight_decay=0.05
    ),
)
