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
        `list[dict]`: in order of steps `epoch`, `step` and, where logged, `learning_rate`, `train_loss` and
        `validation`, the metrics on the validation rows by name.
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
        measured = {name.removeprefix("eval_"): value for name, value in line.items() if name.startswith("eval_")}
        measured = {name: value for name, value in measured.items() if name not in _TIMES}
        if measured:
            entry["validation"] = {**entry.get("validation", {}), **measured}
    return [steps[step] for step in sorted(steps)]
