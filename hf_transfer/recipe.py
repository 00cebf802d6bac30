"""A recipe is an immutable value that names data, backbone, head, strategy and objective.

Nothing here opens a data set or imports torch: naming, listing and explaining a recipe must stay cheap.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from .adaptation.checks import check_adaptation
from .backbones.layer_fusion import NATIVE_READS_ONE, LayerFusion
from .data.mixture import TaskMixture
from .data.raw import RawImages, RawText
from .data.source_target import SourceTarget
from .data.spec import ImageClassification, TextClassification, TextImageClassification
from .errors import UserError
from .heads import NativeHead
from .objectives import Supervised, WeightedSum
from .pretraining.checks import check_pretraining
from .readonly import ReadOnly
from .strategies import FullFineTune

NOUNS = ("data", "backbone", "head", "strategy", "objective")

# What tells the nouns apart. A structural test, so that a library user's own head or strategy needs no base class.
_MARKS = {"data": "train", "backbone": "modality", "head": "reads", "strategy": "prepare", "objective": "build"}
_MARKS |= {"transform": "restore"}  # inside a strategy
_MARKS |= {"fusion": "fuses"}  # of a backbone: a noun inside a noun
_MARKS |= {"weighting": "weighs"}  # of source rows, inside the data


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
        data (`TextClassification`, `ImageClassification` or `TextImageClassification`; `TaskMixture` of several;
            `SourceTarget` of two domains; `RawText` or `RawImages` to pretrain): where the rows come from.
        backbone (`TextBackbone`, `ImageBackbone` or `FusedBackbone`): the pretrained network; reads what `data` holds.
        head (`NativeHead`, `LinearHead`, `MLPHead`, `LSTMHead`, `GRUHead` or `AttentionHead`; `MaskedLMHead` or
            `ProjectionHead` to pretrain): what is added on top; with a `TaskMixture` one for all tasks, or a mapping
            of each task to its own.
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
        for noun in ("data", "backbone"):
            _check_noun(noun, getattr(self, noun))
        object.__setattr__(self, "head", _checked_head(self.head, self.data))
        if isinstance(self.strategy, list | tuple):
            object.__setattr__(self, "strategy", _checked_stages(self.strategy))
        else:
            _check_noun("strategy", self.strategy)
        _check_objective(self.objective)
        if self.data_modality != self.backbone.modality:
            raise UserError(
                f"recipe: {type(self.backbone).__name__} reads {_SAID[self.backbone.modality]}, "
                f"but {type(self.data).__name__} holds {_SAID[self.data_modality]}"
            )
        check_pretraining(self)
        check_adaptation(self)
        _check_strategies(self)
        if isinstance(self.head, NativeHead) and isinstance(getattr(self.backbone, "fusion", None), LayerFusion):
            raise UserError(f"recipe: {NATIVE_READS_ONE}")
        if hasattr(self.backbone, "check_recipe"):
            self.backbone.check_recipe(self.head, self.objectives)
        object.__setattr__(self, "metrics", _checked_metrics(self.metrics))
        object.__setattr__(self, "training", _checked_training(self.training))

    @property
    def strategies(self) -> list:
        """The strategy of each stage."""
        return [stage.strategy for stage in self.strategy] if isinstance(self.strategy, tuple) else [self.strategy]

    @property
    def objectives(self) -> list:
        """Everything that is minimised, in whichever stage."""
        stages = self.strategy if isinstance(self.strategy, tuple) else ()
        sums = [self.objective, *(stage.objective for stage in stages if stage.objective is not None)]
        return [one for total in sums for one in getattr(total, "objectives", (total,))]

    @property
    def data_modality(self) -> str:
        """`"text"`, `"image"` or `"text_image"`."""
        if isinstance(self.data, TaskMixture | SourceTarget):
            return self.data.modality
        return next(name for kind, name in _MODALITIES.items() if isinstance(self.data, kind))


@dataclass(frozen=True)
class Pipeline:
    """Recipes one after the other: what one leaves behind is the checkpoint of the next.

    The last recipe is the target. It is run a second time from its own checkpoint, without the recipes before it, so
    that what they bring is measured and not assumed.

    Args:
        recipes (`tuple[str | Recipe, ...]`): two or more, each a shipped recipe's name or a recipe.
        summary (`str`): one line that says what the pipeline does.
        baseline (`bool`): run the target from its own checkpoint too.
        transductive (`bool`): let a recipe that pretrains read the inputs (never the labels) of the target's
            validation and test rows. They are left out otherwise: a model that has read the test texts is measured on
            texts it knows.
        names (`tuple[str, ...]`): of the recipes, for folders; by default a shipped recipe's own name, else `recipe`.

    Raises:
        `UserError`: fewer than two recipes, something else among them, or recipes of different modality.
    """

    recipes: tuple[Any, ...]
    summary: str = ""
    baseline: bool = True
    transductive: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self):
        given = self.recipes if isinstance(self.recipes, list | tuple) else (self.recipes,)
        if len(given) < 2 or not all(isinstance(one, str | Recipe) for one in given):
            raise UserError(f"pipeline: recipes is {self.recipes!r}; allowed: two or more recipes, or their names")
        object.__setattr__(self, "recipes", tuple(given))
        names = tuple(self.names) or tuple(one if isinstance(one, str) else "recipe" for one in given)
        if len(names) != len(given):
            raise UserError(f"pipeline: {len(names)} names for {len(given)} recipes; give one name for each, or none")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "summary", self.summary or ", then ".join(names))
        found = {one.backbone.modality for one in given if isinstance(one, Recipe)}
        if len(found) > 1:
            raise UserError(
                "pipeline: a recipe on texts and one on images; the backbone of one cannot start the other"
            )
        if isinstance(given[-1], Recipe) and isinstance(given[-1].data, RawText | RawImages):
            raise UserError("pipeline: the last recipe has no labels; the target, which is measured, comes last")
        for name in ("baseline", "transductive"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"pipeline: {name} is {getattr(self, name)!r}; allowed: true or false")


def noun_of(thing) -> str | None:
    """Return which noun a value, or a class of values, can be; `None` for what is no part of a recipe."""
    has = {*dir(thing), *getattr(thing, "__dataclass_fields__", ())}  # a field without a default is not in `dir`
    return next((noun for noun, mark in _MARKS.items() if mark in has), None)


_MODALITIES = {
    TextClassification: "text",
    ImageClassification: "image",
    TextImageClassification: "text_image",
    RawText: "text",
    RawImages: "image",
}
_SAID = {"text": "texts", "image": "images", "text_image": "rows with a text and an image"}
_EXAMPLES = {
    "data": "TextClassification, ImageClassification, TextImageClassification, TaskMixture, SourceTarget, RawText, "
    "RawImages",
    "backbone": "TextBackbone, ImageBackbone, FusedBackbone",
    "head": "NativeHead, LinearHead, MLPHead, LSTMHead, GRUHead, AttentionHead, MaskedLMHead, ProjectionHead",
    "strategy": "FullFineTune, FrozenFeatures, PartialFineTune, GradualUnfreeze, BitFit, LoRA, Contrastive",
    "objective": "Supervised, or a sum such as Supervised() + 0.1 * L2SP()",
}


def _check_noun(noun: str, value, where: str = "recipe") -> None:
    is_value = is_dataclass(value) and not isinstance(value, type)
    # Data is named by class: its modality decides which backbone may read it.
    kinds = (*_MODALITIES, TaskMixture, SourceTarget)
    fits = is_value and noun_of(value) == noun and (noun != "data" or isinstance(value, kinds))
    if not fits:
        hint = f"; write {value.__name__}(...), a value" if isinstance(value, type) else ""
        stages = ", or a tuple of Stage(...)" if noun == "strategy" and where == "recipe" else ""
        raise UserError(f"{where}: {noun} is {value!r}; allowed: {_EXAMPLES[noun]}{stages}{hint}")


def _checked_head(head, data):
    """One head, or for the tasks of a mixture one each."""
    if not isinstance(head, Mapping):
        _check_noun("head", head)
        return head
    if not isinstance(data, TaskMixture):
        raise UserError(f"recipe: head is a mapping, and {type(data).__name__} is one task; give one head")
    for name in head:
        if name not in data.tasks:
            raise UserError(f"recipe: head names {name!r}, which is no task; tasks: {', '.join(data.tasks)}")
    for name in data.tasks:
        if name not in head:
            raise UserError(f"recipe: head has none for the task {name!r}; give each task one, or one head for all")
        _check_noun("head", head[name])
    return ReadOnly({name: head[name] for name in data.tasks})


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


def _check_strategies(recipe) -> None:
    """Let a strategy refuse a recipe that it cannot be a stage of."""
    several = isinstance(recipe.strategy, tuple)
    for stage in recipe.strategy if several else (Stage(recipe.strategy),):
        check = getattr(stage.strategy, "check_recipe", None)
        if check is not None:
            # A single strategy may be one stage of several, seen as a recipe of its own: `stages_of` looks again.
            last = stage is recipe.strategy[-1] if several else None
            check(recipe, last=last, own_objective=stage.objective is not None)


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
    return ReadOnly(copied)
