"""From MNIST to SVHN: domain-adversarial training of the whole ResNet-18.

accelerate launch scripts/run_recipe.py adaptation/dann_image
"""

from hf_transfer import DANN, ImageBackbone, ImageClassification, LinearHead, Recipe, SourceTarget, Supervised

RECIPE = Recipe(
    summary="MNIST to SVHN: domain-adversarial training (DANN)",
    data=SourceTarget(
        source=ImageClassification("ylecun/mnist", image="image", label="label", validation=0.1, test="test"),
        target=ImageClassification("ufldl-stanford/svhn:cropped_digits", image="image", label="label"),
        test="test",
    ),
    backbone=ImageBackbone("timm/resnet18.a1_in1k", image_size=64, augmentation="none"),
    head=LinearHead(),
    objective=Supervised() + 0.1 * DANN(),
    training=dict(learning_rate=5e-4, num_train_epochs=8, per_device_train_batch_size=64, warmup_steps=0.1),
)
