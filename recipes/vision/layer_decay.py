"""CIFAR-10 with a small vision transformer, everything trained, lower blocks slower.

accelerate launch scripts/run_recipe.py vision/layer_decay
"""

from hf_transfer import FullFineTune, ImageBackbone, ImageClassification, LinearHead, Recipe

RECIPE = Recipe(
    summary="ViT-Tiny, everything trained with layer-wise learning-rate decay (LLRD)",
    data=ImageClassification("uoft-cs/cifar10", image="img", label="label", validation=0.1, test="test"),
    backbone=ImageBackbone("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
    head=LinearHead(),
    strategy=FullFineTune(layer_decay=0.75),
    training=dict(
        learning_rate=5e-4, num_train_epochs=5, per_device_train_batch_size=64, warmup_steps=0.1, weight_decay=0.05
    ),
)
