"""What is measured of a saved model of several tasks: each task as ever, and the mean over them."""

from collections.abc import Mapping

import numpy as np

from ..data import labels_of
from ..metrics import HEADLINE
from ..report import measure
from ..scoring import bootstrap_values
from .tasks import MEAN, SCORE, task_metrics


def measure_tasks(predictors: Mapping, splits: Mapping, metrics) -> dict:
    """Measure a saved and reloaded model on every task.

    Args:
        predictors (`Mapping[str, Predictor]`): of each task.
        splits (`Mapping[str, Splits]`): of each task.
        metrics (`Sequence[str]`, *optional*): the recipe's own.

    Returns:
        `dict`: `tasks`, what [`report.measure`] gives of each; and over all of them `headline`, `metrics`,
        `validation_ci95`, `baselines` and `columns`, as results.json holds them. An interval comes from resampling the
        rows of every task on their own; a correlation that is undefined counts as 0.
    """
    tasks, values = {}, {"validation": [], "test": []}
    for task, one in splits.items():
        kind = one.labels.problem_type
        kept = _Kept(predictors[task], task)
        tasks[task] = measure(kept, one, task_metrics(metrics, kind), HEADLINE[kind])
        for split, found in values.items():
            found.append(_resampled(kept.logits_of(split), getattr(one, split), kind, tasks[task]["metrics"][split]))
    scores = {task: SCORE[one.labels.problem_type] for task, one in splits.items()}
    intervals = {split: _interval(np.mean(found, axis=0)) for split, found in values.items()}
    means = {split: _means(tasks, scores, split) for split in values}
    return {
        "headline": {"name": MEAN, "of": scores, "value": means["test"][MEAN], "ci95": intervals["test"]},
        "metrics": means,
        "validation_ci95": intervals["validation"],
        "baselines": {"majority_class": float(np.mean([_baseline(one) for one in tasks.values()]))},
        "columns": [f"{task}_{name}" for task, name in scores.items()],
        "tasks": tasks,
    }


class _Kept:
    """A predictor that keeps what it said of each split."""

    def __init__(self, predictor, task: str):
        self.predictor, self.task, self.found = predictor, task, {}

    def logits(self, rows, description: str) -> np.ndarray:
        self.found[description] = self.predictor.logits(rows, f"{self.task}: {description}")
        return self.found[description]

    def logits_of(self, split: str) -> np.ndarray:
        return self.found[f"evaluate, {split}"]


def _resampled(logits, rows, kind: str, measured: Mapping[str, float]) -> np.ndarray:
    if SCORE[kind] not in measured:
        return np.zeros(1000)
    return np.nan_to_num(bootstrap_values(logits, labels_of(rows), kind, SCORE[kind]))


def _interval(values: np.ndarray) -> list[float]:
    return [float(one) for one in np.percentile(values, [2.5, 97.5])]


def _means(tasks: Mapping, scores: Mapping[str, str], split: str) -> dict[str, float]:
    """The mean of the scores, every metric of every task, and the mean of the losses."""
    measured = {task: one["metrics"][split] for task, one in tasks.items()}
    each = {f"{task}_{name}": value for task, found in measured.items() for name, value in found.items()}
    mean = float(np.mean([measured[task].get(name, 0.0) for task, name in scores.items()]))
    return {MEAN: mean, **each, "loss": float(np.mean([found["loss"] for found in measured.values()]))}


def _baseline(measured: Mapping) -> float:
    """The score of a model that has seen no input: a constant correlates with nothing."""
    return 0.0 if measured["headline"]["name"] == "mse" else measured["baselines"]["majority_class"]
