"""`TrainingArguments` from four sources: default < backbone's kind < recipe < command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import UserError

DEFAULTS: dict[str, Any] = dict(
    eval_strategy="epoch",
    save_strategy="epoch",
    logging_strategy="epoch",
    load_best_model_at_end=True,
    # Of a few hundred validation rows, accuracy jumps in steps and ties; the loss tells epochs apart.
    metric_for_best_model="loss",
    greater_is_better=False,
    save_total_limit=2,
    per_device_eval_batch_size=64,
    report_to="none",
    seed=42,
)
LOWER_IS_BETTER = ("loss", "mse", "mae", "log_loss", "ece")
# The collators choose columns; the image column must reach them (huggingface/transformers#17894).
FIXED: dict[str, Any] = dict(remove_unused_columns=False, label_names=["labels"], disable_tqdm=True)


def build_arguments(checkpoints: Path, modality: str, recipe: Mapping, overrides: Mapping):
    """Build `TrainingArguments`.

    Args:
        checkpoints (`Path`): where resume state goes.
        modality (`str`): `"text"` batches rows of like length together.
        recipe (`Mapping`), overrides (`Mapping`): fields of `TrainingArguments`; `overrides` win.

    Raises:
        `UserError`: a field that does not exist, or values that do not go together.
    """
    import torch
    from transformers import TrainingArguments

    values = dict(DEFAULTS)
    if modality == "text":
        values["train_sampling_strategy"] = "group_by_length"
    if not torch.cuda.is_available():
        values["dataloader_pin_memory"] = False
    asked = {**recipe, **overrides}
    clash = sorted(set(asked) & {*FIXED, "output_dir"})
    if clash:
        raise UserError(f"training.{clash[0]} is set by this package and cannot be changed")
    values.update(asked)
    if values["eval_strategy"] == "no" or values["save_strategy"] == "no":
        values["load_best_model_at_end"] = asked.get("load_best_model_at_end", False)
    if "metric_for_best_model" in asked and "greater_is_better" not in asked:
        values["greater_is_better"] = asked["metric_for_best_model"].removeprefix("eval_") not in LOWER_IS_BETTER
    try:
        return TrainingArguments(output_dir=str(checkpoints), **values, **FIXED)
    except (ValueError, TypeError) as error:
        raise UserError(f"training arguments: {str(error).splitlines()[0]}") from error
