"""From MNIST to SVHN: everything trained, with a small distance (MMD) between the domains.

accelerate launch scripts/run_recipe.py adaptation/mmd_image
"""

from hf_transfer import MMD, ImageBackbone, ImageClassification, LinearHead, Recipe, SourceTarget, Supervised

RECIPE = Recipe(
    summary="MNIST to SVHN: everything trained, with a multi-kernel MMD term",
    data=SourceTarget(
        source=ImageClassification("ylecun/mnist", image="image", label="label", validation=0.1, test="test"),
        target=ImageClassification("ufldl-stanford/svhn:cropped_digits", image="image", label="label"),
        test="test",
    ),
    backbone=ImageBackbone("timm/resnet18.a1_in1k", image_size=64, augmentation="none"),
    head=LinearHead(),
    objective=Supervised() + MMD(),
    training=dict(learning_rate=5e-4, num_train_epochs=8, per_device_train_batch_size=64, warmup_steps=0.1),
)
