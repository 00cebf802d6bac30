"""From logits to the figures of a result: metrics, per-class rows, intervals and the baseline."""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sk

from .errors import UserError
from .metrics import (
    HEADLINE,
    METRICS,
    MSE,
    MULTI,
    REGRESSION,
    SINGLE,
    decisions,
    metric_names,
    sklearn_labels,
    sklearn_view,
)

MOST_CONFUSED = 1000  # classes of which a confusion matrix is kept


def probabilities(logits: np.ndarray, problem_type: str) -> np.ndarray:
    """What the model says, in float64: softmax over classes, sigmoid of each label, or the regression value itself.

    Args:
        logits (`np.ndarray` of shape `(n, num_labels)`): for regression also `(n,)`.

    Returns:
        `np.ndarray` of shape `(n, num_labels)`; for regression `(n,)`.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if problem_type == REGRESSION:
        return logits.reshape(len(logits))
    if problem_type == MULTI:
        return np.exp(-np.logaddexp(0.0, -logits))
    return np.exp(_log_softmax(logits))


def compute_metrics(
    logits: np.ndarray, labels: np.ndarray, problem_type: str, names: Sequence[str] | None = None
) -> dict[str, float]:
    """Metrics of one split, the headline first, and its `loss`: mean cross-entropy (nats), mean binary cross-entropy
    over rows and labels, or mean squared error, without class weights or other terms of the objective.

    Args:
        logits (`np.ndarray` of shape `(n, num_labels)`): for regression also `(n,)`.
        labels (`np.ndarray`): class ids `(n,)`, 0/1 `(n, num_labels)`, or numbers `(n,)`.
        problem_type (`str`): a key of `HEADLINE`.
        names (`Sequence[str]`): keys of `METRICS`; none takes `DEFAULT_METRICS`. The headline is always computed.

    Returns:
        `dict[str, float]`: without the metrics that are undefined on these rows.

    Raises:
        `UserError`: a metric is not defined for `problem_type`, or the logits are not finite (training diverged).
        `ValueError`: shapes do not fit, or a class id is out of range.
    """
    wanted = metric_names(problem_type, names)
    logits, labels = _checked(logits, labels, problem_type)
    predictions = probabilities(logits, problem_type)
    values: dict[str, float] = {}
    for name in wanted:
        values.update(METRICS[name]()._compute(predictions, labels))
    values["loss"] = _loss(logits, labels, problem_type)
    return {name: value for name, value in values.items() if not np.isnan(value)}


def per_class(logits: np.ndarray, labels: np.ndarray, problem_type: str, class_names: Sequence[str]) -> list[dict]:
    """Precision, recall, F1 and support (rows) of each class or label, in the order of the ids; [] for regression."""
    if problem_type == REGRESSION:
        return []
    logits, labels = _checked(logits, labels, problem_type)
    if len(class_names) != logits.shape[1]:
        raise ValueError(f"{len(class_names)} class names for logits of shape {logits.shape}")
    decided = decisions(probabilities(logits, problem_type), labels)
    ids = {"labels": range(logits.shape[1]), **sklearn_labels(labels)}
    columns = sk.precision_recall_fscore_support(*sklearn_view(labels, decided), average=None, zero_division=0, **ids)
    return [
        {"name": str(name), "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(class_names, *columns, strict=True)
    ]


def confusion(logits: np.ndarray, labels: np.ndarray, problem_type: str) -> list[list[int]] | None:
    """Rows by true class (first index) and predicted class (second), in the order of the ids.

    Returns:
        `list[list[int]]`: None where a row has not one class, and above `MOST_CONFUSED` classes, where the numbers
        would fill megabytes with zeros.
    """
    if problem_type != SINGLE:
        return None
    logits, labels = _checked(logits, labels, problem_type)
    classes = logits.shape[1]
    if classes > MOST_CONFUSED:
        return None
    decided = decisions(probabilities(logits, problem_type), labels)
    return sk.confusion_matrix(labels, decided, labels=range(classes)).tolist()


def bootstrap_ci(
    logits: np.ndarray, labels: np.ndarray, problem_type: str, name: str, n_resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95% percentile bootstrap interval of a metric over the rows of a split (Efron 1979): how far the number could
    move with other test rows of the same kind. It says nothing about another training seed.

    Args:
        name (`str`): a key of `METRICS`.
        n_resamples (`int`): rows are drawn with replacement this many times.
        seed (`int`): of the draws; the same arguments give the same interval.

    Returns:
        `tuple[float, float]`: 2.5th and 97.5th percentile over the resamples on which the metric is defined.

    Raises:
        `UserError`: the metric is not defined for `problem_type`.
        `ValueError`: the metric is undefined on these rows.
    """
    values = bootstrap_values(logits, labels, problem_type, name, n_resamples, seed)
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_values(
    logits: np.ndarray, labels: np.ndarray, problem_type: str, name: str, n_resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """Return the metric on each resample, of shape `(n_resamples,)`; see [`bootstrap_ci`]."""
    metric_names(problem_type, [name])
    metric = METRICS[name]()
    logits, labels = _checked(logits, labels, problem_type)
    predictions = probabilities(logits, problem_type)
    if np.isnan(metric.value(predictions, labels)):
        raise ValueError(f"{name} is undefined on these {len(labels)} rows, so it has no interval")
    terms = metric.row_terms(predictions, labels)
    rng = np.random.default_rng(seed)
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        rows = rng.integers(0, len(labels), len(labels))
        if terms is None:
            values[i] = metric.value(predictions[rows], labels[rows])
        else:
            below = terms[1][rows].sum()
            values[i] = terms[0][rows].sum() / below if below else 0.0
    return values


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, problem_type: str, name: str,
    n_resamples: int = 1000, seed: int = 0,
) -> tuple[float, tuple[float, float]]:  # fmt: skip
    """Return the difference of a metric between two models, and its 95% percentile bootstrap interval.

    Both models are measured on the same resampled rows (Efron & Tibshirani 1993, chapter 8): rows that both find easy
    or hard cancel, which two separate intervals would not see.

    Args:
        first, second (`np.ndarray` of shape `(rows, num_labels)`): logits.
        labels (`np.ndarray`): the truth.
        name (`str`): a key of `METRICS`.
    """
    metric = METRICS[name]()
    labels = np.asarray(labels, np.float64)
    said = [probabilities(logits, problem_type) for logits in (first, second)]

    def difference(rows) -> float:
        return metric.value(said[0][rows], labels[rows]) - metric.value(said[1][rows], labels[rows])

    draw = np.random.default_rng(seed)
    values = [difference(draw.integers(0, len(labels), len(labels))) for _ in range(n_resamples)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(difference(np.arange(len(labels)))), (float(low), float(high))


def majority_baseline(train_labels: np.ndarray, test_labels: np.ndarray, problem_type: str) -> float:
    """The headline metric on test of a model that has seen no input: it always answers the most frequent train class
    (the smallest id of equals), the labels that more than half of the train rows have, or the train mean."""
    train, test = np.asarray(train_labels, np.float64), np.asarray(test_labels, np.float64)
    if problem_type == SINGLE:
        answer = np.bincount(train.astype(np.int64)).argmax()
    elif problem_type == MULTI:
        answer = train.mean(axis=0) > 0.5
    else:
        train, test = train.reshape(len(train)), test.reshape(len(test))
        answer = train.mean()
    name = HEADLINE[problem_type][0]
    return METRICS[name]()._compute(np.broadcast_to(answer, test.shape), test)[name]


def _checked(logits, labels, problem_type: str) -> tuple[np.ndarray, np.ndarray]:
    """Float64 arrays of the shapes that `compute_metrics` documents, regression as `(n,)`."""
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
    if problem_type == REGRESSION:
        logits, labels = logits.reshape(len(logits), -1), labels.reshape(len(labels), -1)
        fits = logits.shape == labels.shape and logits.shape[1] == 1
        logits, labels = logits.reshape(-1), labels.reshape(-1)
    elif problem_type == MULTI:
        fits = logits.ndim == 2 and logits.shape == labels.shape
    else:
        fits = logits.ndim == 2 and labels.shape == logits.shape[:1]
    if not fits or len(logits) == 0:
        raise ValueError(f"logits of shape {logits.shape} do not fit labels of shape {labels.shape} ({problem_type})")
    if problem_type == SINGLE and not (labels.min() >= 0 and labels.max() < logits.shape[1]):
        raise ValueError(f"class ids go from {labels.min():g} to {labels.max():g}, but there are {logits.shape[1]}")
    broken = ~np.isfinite(logits.reshape(len(logits), -1)).all(axis=1)
    if broken.any():
        raise UserError(
            f"the model's outputs are not finite in {broken.sum()} of {len(broken)} rows: training has diverged; "
            "a lower learning_rate usually helps"
        )
    return logits, labels


def _loss(logits: np.ndarray, labels: np.ndarray, problem_type: str) -> float:
    if problem_type == REGRESSION:
        return float(MSE().value(logits, labels))
    if problem_type == MULTI:
        return float((np.logaddexp(0.0, logits) - labels * logits).mean())
    return float(-_log_softmax(logits)[np.arange(len(labels)), labels.astype(np.int64)].mean())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
