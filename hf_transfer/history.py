"""How training went, step by step, as results.json keeps it."""

from collections.abc import Mapping, Sequence
from typing import Any

# Of each evaluation: how long it took, not how good it was.
_TIMES = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


def history_of(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join what `Trainer` logged at each step.

    Args:
        log (`Sequence[Mapping]`): `trainer.state.log_history`; a resumed run's begins with what came before.

    Returns:
        `list[dict]`: in order of steps `epoch`, `step` and, where logged, `learning_rate`, `train_loss`, its
        `train_parts` by name where the objective is a sum, and `validation`, the metrics on the validation rows by
        name.
    """
    steps: dict[int, dict[str, Any]] = {}
    for line in log:
        if "train_runtime" in line:  # the summary at the end: totals over the whole of training
            continue
        entry = steps.setdefault(line["step"], {"epoch": line.get("epoch"), "step": line["step"]})
        if "learning_rate" in line:
            entry["learning_rate"] = line["learning_rate"]
        if "loss" in line:
            entry["train_loss"] = line["loss"]
        parts = loss_parts(line)
        if parts:
            entry["train_parts"] = parts
        measured = {name.removeprefix("eval_"): value for name, value in line.items() if name.startswith("eval_")}
        measured = {name: value for name, value in measured.items() if name not in _TIMES}
        if measured:
            entry["validation"] = {**entry.get("validation", {}), **measured}
    return [steps[step] for step in sorted(steps)]


def loss_parts(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the weighted parts of the training loss in one logged line, by name; none where it has but one."""
    return {name.removeprefix("loss_"): value for name, value in line.items() if name.startswith("loss_")}


def joined(histories: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Put the stages of a training one behind the other: steps and epochs go on counting, `stage` counts from 1.

    Args:
        histories (`Sequence[list[dict]]`): what [`history_of`] returned for each; a single one stays as it is.
    """
    if len(histories) == 1:
        return histories[0]
    result, steps, epochs = [], 0, 0.0
    for stage, history in enumerate(histories, 1):
        result += [
            {**one, "stage": stage, "step": one["step"] + steps, "epoch": (one["epoch"] or 0.0) + epochs}
            for one in history
        ]
        if history:
            steps, epochs = result[-1]["step"], result[-1]["epoch"]
    return result
