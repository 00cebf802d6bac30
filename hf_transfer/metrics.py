"""How good a model is: `evaluate.Metric` subclasses that need no network and write nothing to disk.

Every metric takes the same two arguments, so any of them can be combined (`evaluate.combine`) and called once:

- `predictions`: class ids of shape `(n,)`, or probabilities of shape `(n, classes)`; several labels per row: 0/1 or
  probabilities of shape `(n, labels)`; regression: numbers of shape `(n,)`.
- `references`: class ids `(n,)`; 0/1 of shape `(n, labels)`; numbers `(n,)`.

Each class has one formula, `value`, on arrays. `Metric.compute` reaches it through evaluate's Arrow buffers;
`scoring.compute_metrics`, which runs after every epoch, calls it on the arrays themselves. A metric that is undefined
on the data (ROC-AUC where one class is absent) is NaN there and left out by `compute_metrics`.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import evaluate
import numpy as np
from datasets import Features, List, Value
from sklearn import metrics as sk

from .errors import UserError

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"

# name, greater_is_better: what picks the best epoch and what a result is first judged by
HEADLINE = {SINGLE: ("accuracy", True), MULTI: ("micro_f1", True), REGRESSION: ("mse", False)}
# Several tasks in one model: the mean of what each is judged by; see multitask/tasks.py
HEADLINE["multi_task"] = ("mean_of_tasks", True)

# log_loss is left to those who ask: it is the `loss` that every result holds
DEFAULT_METRICS = {
    SINGLE: ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "matthews_correlation", "roc_auc", "ece"),
    MULTI: ("micro_f1", "macro_f1", "weighted_f1", "accuracy", "roc_auc", "ece"),
    REGRESSION: ("mse", "mae", "pearson", "spearman"),
}


class _Metric(evaluate.Metric):
    """What all metrics share; a subclass says for which labels it is defined and gives `value`."""

    problem_types: ClassVar[tuple[str, ...]] = (SINGLE, MULTI)
    key: str

    def __init__(self, keep_in_memory: bool = True, **kwargs):
        super().__init__(keep_in_memory=keep_in_memory, **kwargs)
        self.info.module_name = self.key  # the prefix that evaluate.combine gives equal keys

    def _info(self) -> evaluate.MetricInfo:
        number, row = Value("float64"), List(Value("float64"))
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            inputs_description=__doc__,
            features=[
                Features({"predictions": number, "references": number}),
                Features({"predictions": row, "references": number}),
                Features({"predictions": row, "references": row}),
            ],
        )

    def _build_data_dir(self) -> str:
        # evaluate makes a cache folder even for what is kept in memory
        return self._data_dir_root if self.keep_in_memory else super()._build_data_dir()

    def _compute(self, predictions, references) -> dict[str, float]:
        predictions, references = np.asarray(predictions, np.float64), np.asarray(references, np.float64)
        if len(predictions) == 0:
            raise ValueError(f"{self.key} needs at least one row")
        return {self.key: float(self.value(predictions, references))}

    def value(self, predictions: np.ndarray, references: np.ndarray) -> float:
        raise NotImplementedError

    def row_terms(self, predictions: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """For a metric that is a sum over rows divided by another: both terms of each row, each of shape `(n,)`. A
        bootstrap resample then costs two sums. None for every other metric."""
        return None

    def _ratio(self, predictions, references) -> float:
        above, below = self.row_terms(predictions, references)
        return above.sum() / below.sum() if below.sum() else 0.0


class Accuracy(_Metric):
    """Share of rows that are right; with several labels per row, all of them must be."""

    key = "accuracy"

    def row_terms(self, predictions, references):
        decided = decisions(predictions, references)
        right = decided == references if references.ndim == 1 else (decided == references).all(axis=1)
        return right.astype(np.float64), np.ones(len(right))

    def value(self, predictions, references):
        return self._ratio(predictions, references)


class BalancedAccuracy(_Metric):
    """Mean recall of the classes that occur in the references."""

    key = "balanced_accuracy"
    problem_types = (SINGLE,)

    def value(self, predictions, references):
        decided = decisions(predictions, references)
        # sklearn's balanced_accuracy_score is this and a warning for each predicted class that does not occur
        return sk.recall_score(references, decided, labels=np.unique(references), average="macro", zero_division=0)


class _Averaged(_Metric):
    """Precision, recall or F1: "macro" is the mean over classes, "weighted" the same weighted by their rows, "micro"
    counts all decisions together. As in scikit-learn the mean is over classes seen in references or predictions, and
    a class that is never predicted (or never occurs) counts as 0."""

    averages: ClassVar[tuple[str, ...]] = ("macro", "micro", "weighted")
    base: ClassVar[str]

    def __init__(self, average: str = "macro", **kwargs):
        if average not in self.averages:
            raise UserError(f"{type(self).__name__}.average is {average!r}, allowed: {', '.join(self.averages)}")
        self.average, self.key = average, f"{average}_{self.base}"
        super().__init__(**kwargs)

    def row_terms(self, predictions, references):
        if self.average != "micro":
            return None
        decided = decisions(predictions, references)
        if references.ndim == 1:
            hits, ones = (decided == references).astype(np.float64), np.ones(len(references))
            return self._terms(hits, ones, ones)
        return self._terms((decided * references).sum(axis=1), decided.sum(axis=1), references.sum(axis=1))

    def value(self, predictions, references):
        if self.average == "micro":
            return self._ratio(predictions, references)
        decided = decisions(predictions, references)
        scores = sk.precision_recall_fscore_support(
            *sklearn_view(references, decided), average=self.average, zero_division=0, **sklearn_labels(references)
        )
        return scores[self.position]


class Precision(_Averaged):
    """Of what was predicted as a class, the share that is."""

    base, position = "precision", 0

    @staticmethod
    def _terms(hits, predicted, actual):
        return hits, predicted


class Recall(_Averaged):
    """Of what is a class, the share that was found."""

    base, position = "recall", 1

    @staticmethod
    def _terms(hits, predicted, actual):
        return hits, actual


class F1(_Averaged):
    """Harmonic mean of precision and recall."""

    base, position = "f1", 2

    @staticmethod
    def _terms(hits, predicted, actual):
        return 2 * hits, predicted + actual


class MatthewsCorrelation(_Metric):
    """Correlation of predicted and true classes, -1 to 1; 0 where either is constant."""

    key = "matthews_correlation"
    problem_types = (SINGLE,)

    def value(self, predictions, references):
        return sk.matthews_corrcoef(references, decisions(predictions, references))


class RocAuc(_Metric):
    """Area under the ROC curve, from probabilities: of class 1 for two classes, else the mean over one-against-rest
    curves; with several labels the mean over labels. Undefined where a class or a label has only one kind of row."""

    key = "roc_auc"

    def value(self, predictions, references):
        if references.ndim == 2:
            both = (references.min(axis=0) < references.max(axis=0)).all()
            return sk.roc_auc_score(references, predictions, average="macro") if both else np.nan
        classes = np.unique(references)
        if predictions.ndim == 2 and predictions.shape[1] > 2:
            if len(classes) < predictions.shape[1]:
                return np.nan
            return sk.roc_auc_score(references, predictions, multi_class="ovr", average="macro")
        positive = predictions if predictions.ndim == 1 else predictions[:, 1]
        return sk.roc_auc_score(references, positive) if len(classes) == 2 else np.nan


class LogLoss(_Metric):
    """Mean negative log likelihood (nats) of the true class; with several labels the mean over rows and labels."""

    key = "log_loss"

    def value(self, predictions, references):
        if references.ndim == 2:
            return sk.log_loss(references.ravel(), predictions.ravel(), labels=[0, 1])
        return sk.log_loss(references, predictions, labels=range(_both_columns(predictions).shape[1]))


class ExpectedCalibrationError(_Metric):
    """Mean distance between confidence and accuracy over equally wide bins of the predicted class's probability,
    weighted by their rows (Guo et al. 2017, https://arxiv.org/abs/1706.04599). With several labels every label of
    every row is one decision, its confidence max(p, 1 - p).

    Args:
        n_bins (`int`): bins over (0, 1], each open below and closed above.
    """

    key = "ece"

    def __init__(self, n_bins: int = 15, **kwargs):
        if not isinstance(n_bins, int) or isinstance(n_bins, bool) or n_bins < 1:
            raise UserError(f"ExpectedCalibrationError.n_bins is {n_bins!r}, allowed: an integer of at least 1")
        self.n_bins = n_bins
        super().__init__(**kwargs)

    def value(self, predictions, references):
        if references.ndim == 2:
            predictions, references = predictions.ravel(), references.ravel()
        scores = _both_columns(predictions)
        confidence, right = scores.max(axis=1), decisions(scores, references) == references
        bins = np.clip(np.ceil(confidence * self.n_bins).astype(int) - 1, 0, self.n_bins - 1)
        return np.abs(np.bincount(bins, weights=right - confidence)).sum() / len(right)


class MSE(_Metric):
    """Mean squared error, in squared units of the target."""

    key = "mse"
    problem_types = (REGRESSION,)

    def row_terms(self, predictions, references):
        return (predictions - references) ** 2, np.ones(len(references))

    def value(self, predictions, references):
        return self._ratio(predictions, references)


class MAE(_Metric):
    """Mean absolute error, in units of the target."""

    key = "mae"
    problem_types = (REGRESSION,)

    def row_terms(self, predictions, references):
        return np.abs(predictions - references), np.ones(len(references))

    def value(self, predictions, references):
        return self._ratio(predictions, references)


class Pearson(_Metric):
    """Linear correlation; undefined where predictions or references are constant."""

    key = "pearson"
    problem_types = (REGRESSION,)

    def value(self, predictions, references):
        if np.ptp(predictions) == 0 or np.ptp(references) == 0:
            return np.nan
        return np.corrcoef(predictions, references)[0, 1]


class Spearman(Pearson):
    """Correlation of ranks, equal values sharing their mean rank; undefined where either side is constant."""

    key = "spearman"

    def value(self, predictions, references):
        return super().value(_ranks(predictions), _ranks(references))


METRICS = {
    "accuracy": Accuracy,
    "balanced_accuracy": BalancedAccuracy,
    **{
        f"{average}_{metric.base}": partial(metric, average)
        for metric in (Precision, Recall, F1)
        for average in _Averaged.averages
    },
    "matthews_correlation": MatthewsCorrelation,
    "roc_auc": RocAuc,
    "log_loss": LogLoss,
    "ece": ExpectedCalibrationError,
    "mse": MSE,
    "mae": MAE,
    "pearson": Pearson,
    "spearman": Spearman,
}


def metric_names(problem_type: str, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The metrics of a recipe: its own, or the default ones; the headline is always among them and first.

    Raises:
        `UserError`: a name is unknown or not defined for `problem_type`.
    """
    allowed = [
        name for name, metric in METRICS.items() if problem_type in getattr(metric, "func", metric).problem_types
    ]
    for name in names or ():
        if name not in allowed:
            raise UserError(f"metrics: {name!r} is not defined for {problem_type}, allowed: {', '.join(allowed)}")
    headline = HEADLINE[problem_type][0]
    return tuple(dict.fromkeys((headline, *(DEFAULT_METRICS[problem_type] if names is None else names))))


def decide(probabilities: np.ndarray, problem_type: str) -> np.ndarray:
    """The answer for each row: the most probable class (the first of equals), 1 for each label more probable than
    not, or the regression value."""
    if problem_type == REGRESSION:
        return probabilities
    if problem_type == MULTI:
        return (probabilities > 0.5).astype(np.int64)
    return probabilities.argmax(axis=1)


def decisions(predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Class ids or 0/1 rows, whether `predictions` are those already or probabilities."""
    if references.ndim == 2:
        return decide(predictions, MULTI)
    if predictions.ndim == 2:
        return decide(predictions, SINGLE)
    if (predictions != np.floor(predictions)).any():
        raise ValueError("predictions must be class ids (whole numbers) or one row of probabilities per example")
    return predictions


def _both_columns(predictions: np.ndarray) -> np.ndarray:
    """Probabilities of class 1 `(n,)` become those of both classes `(n, 2)`."""
    if predictions.ndim == 1 and not ((predictions >= 0.0) & (predictions <= 1.0)).all():
        raise ValueError("predictions must be probabilities: of class 1, or one row of them per example")
    return np.stack([1.0 - predictions, predictions], axis=1) if predictions.ndim == 1 else predictions


def sklearn_view(references: np.ndarray, decided: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn takes one column of 0/1 for two classes, so a single label goes in flat (see `_sklearn_labels`)."""
    single = references.ndim == 2 and references.shape[1] == 1
    return (references.ravel(), decided.ravel()) if single else (references, decided)


def sklearn_labels(references: np.ndarray) -> dict:
    return {"labels": [1]} if references.ndim == 2 and references.shape[1] == 1 else {}


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
