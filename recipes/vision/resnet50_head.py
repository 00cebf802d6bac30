"""Bean leaf diseases with timm's ResNet-50, its last layer replaced and trained by SGD with momentum.

accelerate launch scripts/run_recipe.py vision/resnet50_head
"""

from hf_transfer import FrozenFeatures, ImageBackbone, ImageClassification, NativeHead, Recipe

RECIPE = Recipe(
    summary="ResNet-50 with a replaced last layer, SGD with momentum",
    data=ImageClassification(
        "AI-Lab-Makerere/beans", image="image", label="labels", validation="validation", test="test"
    ),
    backbone=ImageBackbone("timm/resnet50.a1_in1k"),
    head=NativeHead(),
    strategy=FrozenFeatures(),
    training=dict(
        optim="sgd", optim_args="momentum=0.9", learning_rate=1e-2, num_train_epochs=20, per_device_train_batch_size=32
    ),
)
