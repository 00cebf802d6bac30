"""ResNet-18 contrasts unlabelled CIFAR-10 images, then learns their classes; the same without the first, side by side.

accelerate launch scripts/run_recipe.py pipelines/simclr_then_transfer
"""

from hf_transfer import Pipeline

RECIPE = Pipeline(
    ("pretraining/simclr", "vision/full_finetune"),
    summary="SimCLR on images without labels, then fine-tuning; with and without the first",
)
