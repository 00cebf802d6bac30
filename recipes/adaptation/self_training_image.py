"""From MNIST to SVHN: the model's own certain labels of target rows.

accelerate launch scripts/run_recipe.py adaptation/self_training_image
"""

from hf_transfer import ImageBackbone, ImageClassification, LinearHead, PseudoLabels, Recipe, SourceTarget, Supervised

RECIPE = Recipe(
    summary="MNIST to SVHN: everything trained, with certain pseudo-labels of target rows",
    data=SourceTarget(
        source=ImageClassification("ylecun/mnist", image="image", label="label", validation=0.1, test="test"),
        target=ImageClassification("ufldl-stanford/svhn:cropped_digits", image="image", label="label"),
        test="test",
    ),
    backbone=ImageBackbone("timm/resnet18.a1_in1k", image_size=64, augmentation="none"),
    head=LinearHead(),
    objective=Supervised() + PseudoLabels(threshold=0.95),
    training=dict(learning_rate=5e-4, num_train_epochs=8, per_device_train_batch_size=64, warmup_steps=0.1),
)
