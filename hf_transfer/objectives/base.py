"""Objectives are values that add and scale: `Supervised() + 0.1 * L2SP()`."""

from dataclasses import dataclass
from typing import Any

from ..errors import UserError


class Objective:
    """Arithmetic shared by all objectives: it gives a [`WeightedSum`]."""

    def build(self, *context):
        """Return the module that computes it; a sum is put together by `step_loss.build_objective`."""
        raise NotImplementedError

    def check(self, frozen: bool, problem_type: str) -> None:
        """Refuse a training that this objective is not for, before it starts.

        Args:
            frozen (`bool`): whether the backbone stands still.
            problem_type (`str`): see [`SupervisedLoss`].

        Raises:
            `UserError`: what the objective needs.
        """

    def check_blocks(self, blocks) -> None:
        """Refuse a backbone whose feature maps are not those that this objective reads; as [`check`].

        Args:
            blocks (`Blocks`): where in the backbone feature maps can be read.
        """

    def __add__(self, other: "Objective") -> "WeightedSum":
        return _sum(self) + _sum(other)

    def __rmul__(self, weight: float) -> "WeightedSum":
        return weight * _sum(self)


@dataclass(frozen=True)
class WeightedSum(Objective):
    """A sum of objectives, each with a weight: the task's own loss, and terms beside it.

    Args:
        objectives (`tuple[Objective, ...]`): one [`Supervised`] and any number of terms.
        weights (`tuple[float, ...]`): one for each, none of them negative.
    """

    objectives: tuple[Any, ...]
    weights: tuple[float, ...]

    def __post_init__(self):
        object.__setattr__(self, "objectives", tuple(self.objectives))
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        if len(self.objectives) != len(self.weights):
            raise UserError(
                f"objective.weights holds {len(self.weights)} numbers for {len(self.objectives)} objectives"
            )
        for weight in self.weights:
            if not 0 <= weight < float("inf"):
                raise UserError(f"objective.weights holds {weight}; allowed: numbers of at least 0")

    def check(self, frozen: bool, problem_type: str) -> None:
        for one in self.objectives:
            one.check(frozen, problem_type)

    def check_blocks(self, blocks) -> None:
        for one in self.objectives:
            one.check_blocks(blocks)

    def __str__(self) -> str:
        factors = ("" if weight == 1 else f"{weight:g} * " for weight in self.weights)
        return " + ".join(f"{factor}{one}" for factor, one in zip(factors, self.objectives, strict=True))

    def __add__(self, other: Objective) -> "WeightedSum":
        other = _sum(other)
        return WeightedSum(self.objectives + other.objectives, self.weights + other.weights)

    def __rmul__(self, weight: float) -> "WeightedSum":
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise UserError(f"an objective is multiplied by {weight!r}; allowed: a number")
        return WeightedSum(self.objectives, tuple(weight * one for one in self.weights))


def _sum(objective: Objective) -> WeightedSum:
    if isinstance(objective, WeightedSum):
        return objective
    if not isinstance(objective, Objective):
        raise UserError(f"an objective is added to {objective!r}; allowed: objectives")
    return WeightedSum((objective,), (1.0,))
