"""Several data sets in one model, one head each: an immutable value, `TaskMixture`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..readonly import ReadOnly
from .spec import ImageClassification, TextClassification

SAMPLINGS = ("proportional", "uniform", "temperature")
UNCERTAINTY = "uncertainty"
# A name stands in flags (data.tasks.NAME.train), in metrics (NAME_accuracy) and beside "kind" in recipe.json.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class TaskMixture:
    """Data sets that one model learns together: one backbone, a head for each task, and batches of one task each.

    Args:
        tasks (`Mapping[str, TextClassification or ImageClassification]`): by name, all texts or all images; texts and pairs, classes and numbers may be mixed.
        sampling (`str`): which task a step is of: proportional (every row of every task once per epoch), uniform (as many steps for each task) or temperature (steps in proportion to rows ** (1 / temperature)). An epoch has as many steps under each of them.
        temperature (`float`): of temperature sampling: 1 is proportional, a large one nearly uniform.
        weights (`dict` or `str`): factor of each task's loss by name, or uncertainty for factors that are learnt (Kendall et al. 2018); none is 1 for each.

    Raises:
        `UserError`: a name that cannot be one or stands there twice, texts mixed with images, or a field with a value that is not allowed.
    """  # noqa: E501 - each line is one flag's help

    tasks: Mapping[str, Any]
    sampling: str = "proportional"
    temperature: float | None = None
    weights: dict | str | None = None

    def __post_init__(self):
        object.__setattr__(self, "tasks", _checked_tasks(self.tasks))
        if self.sampling not in SAMPLINGS:
            raise UserError(f"data.sampling is {self.sampling!r}; allowed: {', '.join(SAMPLINGS)}")
        _check_temperature(self.sampling, self.temperature)
        object.__setattr__(self, "weights", _checked_weights(self.weights, self.tasks))

    @property
    def modality(self) -> str:
        """`"text"` or `"image"`."""
        return "image" if isinstance(next(iter(self.tasks.values())), ImageClassification) else "text"

    @property
    def train(self) -> tuple:
        """Where the train rows of each task come from, in the order of the tasks."""
        return tuple(task.train for task in self.tasks.values())


def _checked_tasks(tasks) -> ReadOnly:
    pairs = list(tasks.items()) if isinstance(tasks, Mapping) else tasks
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(one, list | tuple) and len(one) == 2 for one in pairs
    ):
        raise UserError(
            f"data.tasks is {tasks!r}; allowed: a mapping of names to data, such as TextClassification(...)"
        )
    if not pairs:
        raise UserError("data.tasks is empty; give at least one task, by name")
    seen: dict[str, str] = {}
    for name, task in pairs:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "kind":
            raise UserError(
                f"data.tasks: the name {name!r} cannot be one; allowed: letters, digits, - and _, a letter first"
            )
        if name.lower() in seen:
            raise UserError(
                f"data.tasks: the name {name!r} stands there twice, as {seen[name.lower()]!r}; give each its own"
            )
        seen[name.lower()] = name
        if not isinstance(task, TextClassification | ImageClassification):
            raise UserError(
                f"data.tasks.{name} is {task!r}; allowed: TextClassification(...), ImageClassification(...)"
            )
    kinds = {type(task): name for name, task in pairs}
    if len(kinds) > 1:
        told = " and ".join(f"{name} is {kind.__name__}" for kind, name in kinds.items())
        raise UserError(f"data.tasks: {told}; one backbone reads all tasks, so give texts alone or images alone")
    return ReadOnly(pairs)


def _check_temperature(sampling: str, temperature) -> None:
    if sampling != "temperature":
        if temperature is not None:
            raise UserError(f"data.temperature goes with sampling temperature, and data.sampling is {sampling!r}")
        return
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if not number or not 1 <= temperature < float("inf"):
        raise UserError(
            f"data.temperature is {temperature!r}; sampling temperature needs a number of at least 1, such as 2"
        )


def _checked_weights(weights, tasks: Mapping):
    if weights is None or weights == UNCERTAINTY:
        return weights
    if not isinstance(weights, Mapping):
        raise UserError(
            f"data.weights is {weights!r}; allowed: {UNCERTAINTY}, a factor for each task by name, or none"
        )
    for name in weights:
        if name not in tasks:
            raise UserError(f"data.weights names {name!r}, which is no task; tasks: {', '.join(tasks)}")
    for name in tasks:
        value = weights.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < float("inf"):
            raise UserError(f"data.weights: {name} has {value!r}; each task needs a number above 0")
    return ReadOnly({name: float(weights[name]) for name in tasks})
