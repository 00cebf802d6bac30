"""`TrainingArguments` from two sources: our defaults, and the recipe over them."""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
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
    # The filter writes an average into the log where the loss is not a number, and waits for the device at every step.
    logging_nan_inf_filter=False,
    seed=42,
)
# Gradient descent on a single layer: TrainingArguments' own 5e-5 and 3 epochs are meant for a whole network.
LINEAR_PROBE: dict[str, Any] = dict(learning_rate=1e-2, num_train_epochs=20, per_device_train_batch_size=64)
LOWER_IS_BETTER = ("loss", "mse", "mae", "log_loss", "ece")
# The collators choose columns; the image column must reach them (huggingface/transformers#17894).
# TrainingArguments takes any number here; a wrong one would fail deep inside torch, or as a division by zero.
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"), (1, float("inf"))
    ),
    **dict.fromkeys(("learning_rate", "weight_decay", "dataloader_num_workers"), (0, float("inf"))),
    **dict.fromkeys(("seed", "data_seed"), (0, 2**32 - 1)),
    "label_smoothing_factor": (0, 1),
}
FIXED: dict[str, Any] = dict(remove_unused_columns=False, label_names=["labels"], disable_tqdm=True)


def build_arguments(checkpoints: Path, recipe: Mapping, metrics: Sequence[str], probe: bool = False):
    """Build `TrainingArguments`.

    Args:
        checkpoints (`Path`): where resume state goes.
        recipe (`Mapping`): fields of `TrainingArguments`: the recipe's, with the command line's over them.
        metrics (`Sequence[str]`): what is measured after each epoch; `loss` always is.
        probe (`bool`): a single layer is trained on a frozen backbone; the defaults suit that.

    Raises:
        `UserError`: a field that does not exist, a value out of range, values that do not go together, or an
            optimizer or a reporter whose package is not installed.
    """
    import torch
    from transformers import TrainingArguments
    from transformers.integrations import get_reporting_integration_callbacks

    values = {**DEFAULTS, **(LINEAR_PROBE if probe else {})}
    if not torch.cuda.is_available():
        values["dataloader_pin_memory"] = False
        values["use_cpu"] = not torch.backends.mps.is_available()  # says that bf16 on a CPU is meant
    asked = dict(recipe)
    clash = sorted(set(asked) & {*FIXED, "output_dir"})
    if clash:
        raise UserError(f"training.{clash[0]} is set by this package and cannot be changed")
    values.update(asked)
    if values["eval_strategy"] == "no" or values["save_strategy"] == "no":
        values["load_best_model_at_end"] = asked.get("load_best_model_at_end", False)
    if "metric_for_best_model" in asked and "greater_is_better" not in asked:
        values["greater_is_better"] = asked["metric_for_best_model"].removeprefix("eval_") not in LOWER_IS_BETTER
    best = str(values["metric_for_best_model"]).removeprefix("eval_")
    if best not in ("loss", *metrics):
        raise UserError(
            f"training arguments: metric_for_best_model is {best!r}; allowed: {', '.join(('loss', *metrics))}"
        )
    _check_ranges(values)
    with _told_in_one_line(ValueError, TypeError, ImportError, OSError):
        args = TrainingArguments(output_dir=str(checkpoints), **values, **FIXED)
    with _told_in_one_line(ValueError, TypeError, ImportError):
        _try_optimizer(args)
    with _told_in_one_line(ValueError, ImportError, RuntimeError):
        for reporter in get_reporting_integration_callbacks(args.report_to):
            reporter()  # says which package it misses
    return args


def _check_ranges(values: Mapping) -> None:
    for name, (least, most) in RANGES.items():
        value = values.get(name)
        if isinstance(value, int | float) and not least <= value <= most:
            allowed = f"{least} or more" if most == float("inf") else f"{least} to {most}"
            raise UserError(f"training arguments: {name} is {value}; allowed: {allowed}")


@contextmanager
def _told_in_one_line(*kinds: type[Exception]):
    """Turn what transformers says about a value, a package or a file into one line."""
    try:
        yield
    except kinds as error:
        raise UserError(f"training arguments: {' '.join(str(error).split())}") from error


def _try_optimizer(args) -> None:
    """Build the optimizer for a parameter of no consequence: now, not after an hour of features."""
    import torch
    from transformers import Trainer

    if args.optim_target_modules:  # looked up in the real model
        return
    cls, settings = Trainer.get_optimizer_cls_and_kwargs(args, torch.nn.Linear(1, 1))
    if cls.__module__.startswith("torch.optim"):  # others may want a GPU or the whole model
        cls([torch.nn.Parameter(torch.zeros(1))], **settings)
