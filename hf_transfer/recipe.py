"""A recipe is an immutable value that names data, backbone, head, strategy and objective.

Nothing here opens a data set or imports torch: naming, listing and explaining a recipe must stay cheap.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from .data.spec import ImageClassification, TextClassification
from .errors import UserError
from .heads import NativeHead
from .objectives import Supervised, WeightedSum
from .strategies import FullFineTune

NOUNS = ("data", "backbone", "head", "strategy", "objective")

# What tells the nouns apart. A structural test, so that a library user's own head or strategy needs no base class.
_MARKS = {"data": "train", "backbone": "modality", "head": "reads", "strategy": "prepare", "objective": "build"}


class _ReadOnly(dict):
    """A dict that refuses changes; unlike `MappingProxyType` it can be pickled, deep-copied and written as JSON."""

    def _refuse(self, *args, **kwargs):
        raise TypeError("a recipe does not change; make another one with dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return (type(self), (dict(self),))


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Args:
        strategy (`Strategy`): which parameters move.
        training (`Mapping[str, Any]`): fields of `TrainingArguments`, over those of the recipe.
        objective (`Objective`, *optional*): by default the recipe's.
    """

    strategy: Any
    training: Mapping[str, Any] = field(default_factory=dict)
    objective: Any = None

    def __post_init__(self):
        _check_noun("strategy", self.strategy, "stage")
        if self.objective is not None:
            _check_objective(self.objective, "stage")
        object.__setattr__(self, "training", _checked_training(self.training, "stage"))


@dataclass(frozen=True)
class Recipe:
    """What to train on what, and how. A value: equality, pickling and `dataclasses.replace` work.

    Args:
        summary (`str`): one line that says what the recipe does.
        data (`TextClassification` or `ImageClassification`): where the rows come from.
        backbone (`TextBackbone` or `ImageBackbone`): the pretrained network; reads what `data` holds.
        head (`NativeHead`, `LinearHead`, `MLPHead` or `LSTMHead`): what is added on top.
        strategy (`FullFineTune`, `FrozenFeatures`, ... or `tuple[Stage, ...]`): which parameters move, how fast and
            from when; or several stages of training, one after the other.
        objective (`Supervised` or a sum): what is minimised, as in `Supervised() + 0.1 * L2SP()`.
        metrics (`tuple[str, ...]`, *optional*): names of `hf_transfer.metrics.METRICS`; by default those of the task.
        training (`Mapping[str, Any]`): fields of `transformers.TrainingArguments`, with JSON values.

    Raises:
        `UserError`: a noun in the wrong place, text data with an image backbone or the reverse, or a value of
            `training` that JSON cannot hold.
    """

    summary: str
    data: Any
    backbone: Any
    head: Any = NativeHead()
    strategy: Any = FullFineTune()
    objective: Any = Supervised()
    metrics: tuple[str, ...] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.summary, str) or not self.summary.strip():
            raise UserError(f"recipe: summary is {self.summary!r}; allowed: one line of text")
        for noun in ("data", "backbone", "head"):
            _check_noun(noun, getattr(self, noun))
        if isinstance(self.strategy, list | tuple):
            object.__setattr__(self, "strategy", _checked_stages(self.strategy))
        else:
            _check_noun("strategy", self.strategy)
        _check_objective(self.objective)
        if self.data_modality != self.backbone.modality:
            raise UserError(
                f"recipe: {type(self.backbone).__name__} reads {self.backbone.modality}s, "
                f"but {type(self.data).__name__} holds {self.data_modality}s"
            )
        object.__setattr__(self, "metrics", _checked_metrics(self.metrics))
        object.__setattr__(self, "training", _checked_training(self.training))

    @property
    def data_modality(self) -> str:
        """`"text"` or `"image"`."""
        return "image" if isinstance(self.data, ImageClassification) else "text"


def noun_of(thing) -> str | None:
    """Return which noun a value, or a class of values, can be; `None` for what is no part of a recipe."""
    has = {*dir(thing), *getattr(thing, "__dataclass_fields__", ())}  # a field without a default is not in `dir`
    return next((noun for noun, mark in _MARKS.items() if mark in has), None)


_EXAMPLES = {
    "data": "TextClassification, ImageClassification",
    "backbone": "TextBackbone, ImageBackbone",
    "head": "NativeHead, LinearHead, MLPHead, LSTMHead",
    "strategy": "FullFineTune, FrozenFeatures, PartialFineTune, GradualUnfreeze, BitFit, LoRA",
    "objective": "Supervised, or a sum such as Supervised() + 0.1 * L2SP()",
}


def _check_noun(noun: str, value, where: str = "recipe") -> None:
    is_value = is_dataclass(value) and not isinstance(value, type)
    # Data is named by class: its modality decides which backbone may read it.
    fits = (
        is_value
        and noun_of(value) == noun
        and (noun != "data" or isinstance(value, TextClassification | ImageClassification))
    )
    if not fits:
        hint = f"; write {value.__name__}(...), a value" if isinstance(value, type) else ""
        stages = ", or a tuple of Stage(...)" if noun == "strategy" and where == "recipe" else ""
        raise UserError(f"{where}: {noun} is {value!r}; allowed: {_EXAMPLES[noun]}{stages}{hint}")


def _check_objective(objective, where: str = "recipe") -> None:
    _check_noun("objective", objective, where)
    parts = objective.objectives if isinstance(objective, WeightedSum) else (objective,)
    for part in parts:
        _check_noun("objective", part, where)
    tasks = sum(isinstance(part, Supervised) for part in parts)
    if tasks != 1:
        raise UserError(f"{where}: objective has {tasks} parts Supervised(); it needs one, the task's own loss")


def _checked_stages(stages) -> tuple[Stage, ...]:
    for stage in stages:
        if not isinstance(stage, Stage):
            raise UserError(f"recipe: strategy holds {stage!r}; allowed in a tuple: Stage(...)")
    if not stages:
        raise UserError("recipe: strategy is an empty tuple; allowed: one Stage(...) or more")
    return tuple(stages)


def _checked_metrics(metrics) -> tuple[str, ...] | None:
    if metrics is None:
        return None
    if not isinstance(metrics, list | tuple) or not metrics or not all(isinstance(name, str) for name in metrics):
        raise UserError(f"recipe: metrics is {metrics!r}; allowed: a tuple of metric names, or none")
    return tuple(metrics)


def _checked_training(training, where: str = "recipe") -> Mapping[str, Any]:
    if not isinstance(training, Mapping):
        raise UserError(f"{where}: training is {training!r}; allowed: a mapping of TrainingArguments fields")
    copied = {}
    for name, value in training.items():
        if not isinstance(name, str):
            raise UserError(f"{where}: training has the key {name!r}; keys are names of TrainingArguments fields")
        try:
            # The way through JSON is also the deep copy: later changes by the caller stay outside.
            copied[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            raise UserError(
                f"{where}: training[{name!r}] is {value!r}; allowed: text, finite numbers, true, false, none, "
                "and lists and dicts of those"
            ) from None
    return _ReadOnly(copied)
