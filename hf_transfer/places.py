"""Where the nouns of a recipe are: `head`, `stage.2.strategy`, `objective.1`; what dotted flags and help go by."""

from dataclasses import replace
from typing import Any

from .objectives import WeightedSum

SINGLE = ("data", "backbone", "head", "strategy", "objective")


def places(recipe) -> dict[str, Any]:
    """Return every noun of a recipe by its place, the parts of stages and of sums too; both are counted from 1."""
    found = {noun: getattr(recipe, noun) for noun in ("data", "backbone", "head")}
    if isinstance(recipe.strategy, tuple):
        for number, stage in enumerate(recipe.strategy, 1):
            found[f"stage.{number}"] = stage
            found[f"stage.{number}.strategy"] = stage.strategy
            if stage.objective is not None:
                found |= _objectives(f"stage.{number}.objective", stage.objective)
    else:
        found["strategy"] = recipe.strategy
    return found | _objectives("objective", recipe.objective)


def _objectives(place: str, objective) -> dict[str, Any]:
    if not isinstance(objective, WeightedSum):
        return {place: objective}
    return {place: objective, **{f"{place}.{number}": one for number, one in enumerate(objective.objectives, 1)}}


def put(recipe, place: str, noun):
    """Return the recipe with another noun at one of its [`places`]."""
    if place in SINGLE:
        return replace(recipe, **{place: noun})
    first, number, *rest = place.split(".", 2)
    if first == "objective":
        return replace(recipe, objective=_with_part(recipe.objective, int(number), noun))
    stages = list(recipe.strategy)
    stage = stages[int(number) - 1]
    if not rest:
        stage = noun
    elif rest[0] in ("strategy", "objective"):
        stage = replace(stage, **{rest[0]: noun})
    else:  # objective.2
        stage = replace(stage, objective=_with_part(stage.objective, int(rest[0].partition(".")[2]), noun))
    stages[int(number) - 1] = stage
    return replace(recipe, strategy=tuple(stages))


def _with_part(total: WeightedSum, number: int, noun) -> WeightedSum:
    parts = list(total.objectives)
    parts[number - 1] = noun
    return replace(total, objectives=tuple(parts))


def place_of(flag: str, recipe) -> str | None:
    """Return the place that a dotted flag such as `stage.2.strategy.layer_decay` speaks of: the longest that fits."""
    fitting = [place for place in places(recipe) if flag.startswith(f"{place}.")]
    return max(fitting, key=len, default=None)
