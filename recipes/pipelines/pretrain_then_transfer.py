"""RoBERTa reads unlabelled film reviews, then learns their sentiment; the same without the first, side by side.

accelerate launch scripts/run_recipe.py pipelines/pretrain_then_transfer
"""

from hf_transfer import Pipeline

RECIPE = Pipeline(
    ("pretraining/mlm", "text/full_finetune"),
    summary="masked-language modelling on raw text, then fine-tuning; with and without the first",
)
