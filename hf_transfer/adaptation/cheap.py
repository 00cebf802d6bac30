"""The cheap methods: linear layers over recorded features, each learnt its own way, ranked without target labels."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import UserError
from ..reweighting.features import checked
from .criteria import (
    certainty,
    class_separation,
    mutual_information,
    neighbourhood_density,
    source_risk,
    weighted_source_risk,
)
from .fitting import Layer, fit_layer
from .importance import importance
from .moving import recolouring, scaling
from .self_training import self_train

UNLABELLED = -1
WITHOUT_LABELS = (
    "source_only",
    "scale",
    "coral",
    "kmm",
    "kliep",
    "density_ratio",
    "self_training",
    "scale+self_training",
    "coral+self_training",
)
WITH_LABELS = ("tradaboost", "target_only")
METHODS = WITHOUT_LABELS + WITH_LABELS
CRITERIA = ("source_risk", "weighted_source_risk", "certainty", "mutual_information")
CRITERIA += ("class_separation", "neighbourhood_density")
DEFAULT = "mutual_information"
HELD_OUT = 5  # every fifth labelled target row chooses a penalty instead of being learnt from


@dataclass(frozen=True)
class Tried:
    """What one method came to.

    Args:
        name (`str`): one of `METHODS`.
        weight (`np.ndarray` of shape `(classes, width)`), bias (`np.ndarray` of shape `(classes,)`): of a linear layer
            that reads raw target features; float32.
        criteria (`dict[str, float]`): by the names of `CRITERIA`; higher is better. No target label is in them.
        seconds (`float`): it took; what it shares with a method before it is not counted again.
        about (`dict`): how it was found: `l2`, the penalty; for weightings `effective_sample_size` and what
            [`Weights`] says of itself.
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray
    criteria: dict[str, float]
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return logits of shape `(rows, classes)` for target features of shape `(rows, width)`."""
        return np.asarray(features, np.float32) @ self.weight.T + self.bias


def try_methods(
    source: np.ndarray,
    source_labels: np.ndarray,
    source_validation: np.ndarray,
    source_validation_labels: np.ndarray,
    target: np.ndarray,
    target_labels: np.ndarray | None = None,
    methods: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Tried]:
    """Try the cheap methods on features that are there already.

    `target_labels` are read by `WITH_LABELS` alone. The same rows give the same bits.

    Args:
        source (`np.ndarray` of shape `(n_s, width)`), source_labels (`np.ndarray` of shape `(n_s,)`): features and
            class ids that heads are learnt from.
        source_validation, source_validation_labels: other source rows, which choose penalties.
        target (`np.ndarray` of shape `(n_t, width)`): features from the same backbone.
        target_labels (`np.ndarray` of shape `(n_t,)`, *optional*): class ids, -1 for a row that has none.
        methods (`Sequence[str]`, *optional*): some of `METHODS`; by default all that these rows allow.
        say: told one line for each method that is left out, and why.

    Returns:
        `list[Tried]`: in the order of `methods`.

    Raises:
        `UserError`: features or labels that do not fit each other, an unknown method, or one that needs target labels
            where there are none.
    """
    rows = _Rows(source, source_labels, source_validation, source_validation_labels, target, target_labels)
    found = []
    for name in _wanted(methods, rows, say):
        start = time.perf_counter()
        try:
            layer, space, about = _LEARN[name](rows)
        except UserError as error:
            if methods is not None:
                raise
            say(f"{name} was left out: {error}")
            continue
        seconds = time.perf_counter() - start
        criteria = judge_layer(layer, rows, space)
        found.append(Tried(name, layer.weight, layer.bias, criteria, seconds, {"l2": layer.l2, **about}))
    return found


def choose(tried: Sequence[Tried], criterion: str = DEFAULT) -> Tried:
    """Return the method with the highest criterion; of equals the first.

    Raises:
        `UserError`: an unknown criterion, or nothing to choose from.
    """
    if criterion not in CRITERIA:
        raise UserError(f"criterion is {criterion!r}; allowed: {', '.join(CRITERIA)}")
    if not tried:
        raise UserError("no method was tried, so that none can be chosen; name some of " + ", ".join(METHODS))
    return max(tried, key=lambda one: one.criteria[criterion])


def judge_layer(layer: Layer, rows: "_Rows", space: str) -> dict[str, float]:
    """Return the criteria of a layer that reads target features, and source features moved into `space`."""
    held_out = layer.logits(rows.validation_in(space))
    logits = layer.logits(rows.target)
    return {
        "source_risk": source_risk(held_out, rows.validation_labels),
        "weighted_source_risk": weighted_source_risk(held_out, rows.validation_labels, rows.importance_in(space)),
        "certainty": certainty(logits),
        "mutual_information": mutual_information(logits),
        "class_separation": class_separation(logits),
        "neighbourhood_density": neighbourhood_density(logits),
    }


class _Rows:
    """The rows of both domains, checked, and what several methods need of them, computed once.

    A space is where source features are moved to: `"raw"` (not at all), `"scale"` or `"coral"`.
    """

    def __init__(self, source, source_labels, validation, validation_labels, target, target_labels):
        self.source, self.target = checked(source, target, "float32")
        self.validation, _ = checked(validation, target, "float32")
        self.labels = _class_ids(source_labels, len(self.source), "source")
        self.validation_labels = _class_ids(validation_labels, len(self.validation), "source validation")
        self.classes = int(self.labels.max()) + 1
        if len(np.unique(self.labels)) < 2:
            raise UserError(f"all source labels are {self.labels[0]}; a classifier needs two classes or more")
        if min(self.labels.min(), self.validation_labels.min()) < 0:
            raise UserError("a source label is below 0; source rows must all have a class id")
        if self.validation_labels.max() >= self.classes:
            raise UserError(
                f"source validation labels go up to {self.validation_labels.max()}, but those learnt from only to "
                f"{self.classes - 1}"
            )
        self.target_labels = None
        if target_labels is not None:
            self.target_labels = _class_ids(target_labels, len(self.target), "target")
            if self.target_labels.max() >= self.classes or self.target_labels.min() < UNLABELLED:
                raise UserError(
                    f"target labels go from {self.target_labels.min()} to {self.target_labels.max()}; allowed: class "
                    f"ids of the source, 0 to {self.classes - 1}, and {UNLABELLED} for a row without a label"
                )
        self._moves, self._layers, self._importance = {}, {}, {}

    @cached_property
    def labelled(self) -> np.ndarray:
        """Numbers of the target rows that have a label."""
        return np.flatnonzero(self.target_labels != UNLABELLED)

    def move(self, space: str) -> Callable[[np.ndarray], np.ndarray]:
        if space not in self._moves:
            maker = {"raw": lambda *_: lambda rows: rows, "scale": scaling, "coral": recolouring}[space]
            self._moves[space] = maker(self.source, self.target)
        return self._moves[space]

    def source_in(self, space: str) -> np.ndarray:
        return self.move(space)(self.source)

    def validation_in(self, space: str) -> np.ndarray:
        return self.move(space)(self.validation)

    def importance_in(self, space: str) -> np.ndarray:
        if space not in self._importance:
            self._importance[space] = importance(self.source_in(space), self.target, self.validation_in(space))
        return self._importance[space]

    def layer_in(self, space: str) -> Layer:
        """The layer learnt from all source rows alike."""
        if space not in self._layers:
            self._layers[space] = self.fit(self.source_in(space), self.labels, space)
        return self._layers[space]

    def fit(self, rows, labels, space: str = "raw", weights=None) -> Layer:
        return fit_layer(rows, labels, self.validation_in(space), self.validation_labels, self.classes, weights)


def _class_ids(labels, rows: int, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (rows,) or labels.dtype.kind not in "iu":
        raise UserError(
            f"{name} labels have the shape {labels.shape} and the type {labels.dtype} for {rows} rows; one class id "
            "(an integer) per row"
        )
    return labels.astype(np.int64)


def _wanted(methods, rows: _Rows, say) -> list[str]:
    labelled = rows.target_labels is not None and len(rows.labelled) > 0
    if methods is None:
        return list(METHODS if labelled else WITHOUT_LABELS)
    for name in methods:
        if name not in METHODS:
            raise UserError(f"unknown method {name!r}; allowed: {', '.join(METHODS)}")
        if name in WITH_LABELS and not labelled:
            raise UserError(f"{name} needs labelled target rows; without them use one of {', '.join(WITHOUT_LABELS)}")
    return list(methods)


# ---------------------------------------------------------------------------------------------------------------------
# The methods: rows to a layer, the space its source rows are in, and what is to be told


def _moved(space: str):
    return lambda rows: (rows.layer_in(space), space, {})


def _weighted(make: Callable):
    def learn(rows: _Rows):
        weights = make().fit(rows.source, rows.target)
        layer = rows.fit(rows.source, rows.labels, weights=weights.values)
        return layer, "raw", _told(weights.values, weights.about)

    return learn


def _self_trained(space: str):
    def learn(rows: _Rows):
        layer = self_train(
            rows.layer_in(space), rows.source_in(space), rows.labels, rows.target,
            rows.validation_in(space), rows.validation_labels,
        )  # fmt: skip
        return layer, space, {}

    return learn


def _tradaboost(rows: _Rows):
    """Source rows with the weights that the rounds left them, from 1 down, beside the labelled target rows."""
    from ..reweighting.boosting import boost

    found = boost(rows.source, rows.labels, rows.target[rows.labelled], rows.target_labels[rows.labelled], rounds=20)
    features = np.concatenate([rows.source, rows.target[rows.labelled]])
    labels = np.concatenate([rows.labels, rows.target_labels[rows.labelled]])
    weights = np.concatenate([found.source_weights, np.ones(len(rows.labelled))])
    layer = rows.fit(features, labels, weights=weights)
    return layer, "raw", _told(found.source_weights, {"errors": found.errors, "rounds": len(found.errors)})


def _target_only(rows: _Rows):
    choice = rows.labelled[::HELD_OUT]
    learnt = np.setdiff1d(rows.labelled, choice)
    if not len(learnt):
        raise UserError(f"target_only needs two labelled target rows; found {len(rows.labelled)}")
    labels = rows.target_labels
    layer = fit_layer(rows.target[learnt], labels[learnt], rows.target[choice], labels[choice], rows.classes)
    return layer, "raw", {}


def _told(weights: np.ndarray, about: dict) -> dict:
    return {"effective_sample_size": float(weights.sum() ** 2 / (weights**2).sum()), **about}


def _kmm():
    from ..reweighting import KMM

    return KMM()


def _kliep():
    from ..reweighting import KLIEP

    return KLIEP()


def _density_ratio():
    from ..reweighting import DensityRatio

    return DensityRatio()


_LEARN = {
    "source_only": _moved("raw"),
    "scale": _moved("scale"),
    "coral": _moved("coral"),
    "kmm": _weighted(_kmm),
    "kliep": _weighted(_kliep),
    "density_ratio": _weighted(_density_ratio),
    "self_training": _self_trained("raw"),
    "scale+self_training": _self_trained("scale"),
    "coral+self_training": _self_trained("coral"),
    "tradaboost": _tradaboost,
    "target_only": _target_only,
}
