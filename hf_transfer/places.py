"""Where the nouns of a recipe are: `head`, `stage.2.strategy`, `objective.1`; what dotted flags and help go by."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from .objectives import WeightedSum
from .recipe import Pipeline

SINGLE = ("data", "backbone", "head", "strategy", "objective")


def places(recipe) -> dict[str, Any]:
    """Return every noun of a recipe by its place, and those inside of it.

    A noun inside a noun is named by its field (`backbone.fusion`), one of several by its number, from 1 on
    (`strategy.transforms.1`), or by its own name (`backbone.parts.source`); the parts of a sum and the stages of a
    training by their number alone (`objective.2`, `stage.1`), and so are the recipes of a pipeline (`1`, `1.data`).
    """
    return {place: noun for place, noun, _ in _below(recipe)}


def put(recipe, place: str, noun):
    """Return the recipe with another noun at one of its [`places`]."""
    return next(rebuild(noun) for found, _, rebuild in _below(recipe) if found == place)


def place_of(flag: str, recipe) -> str | None:
    """Return the place that a dotted flag such as `stage.2.strategy.layer_decay` speaks of: the longest that fits."""
    fitting = [place for place in places(recipe) if flag.startswith(f"{place}.")]
    return max(fitting, key=len, default=None)


def _below(noun, prefix: str = "", rebuild: Callable = lambda new: new) -> Iterator[tuple[str, Any, Callable]]:
    """Yield each noun inside of `noun`, at any depth: its place, itself, and what gives the outermost one with another
    in its place."""
    if isinstance(noun, Pipeline):
        yield "pipeline", noun, rebuild
    for name, child, exchange in _children(noun):
        outer = lambda new, exchange=exchange: rebuild(exchange(new))  # noqa: E731
        yield prefix + name, child, outer
        yield from _below(child, f"{prefix}{name}.", outer)


def _children(noun) -> Iterator[tuple[str, Any, Callable]]:
    for field in fields(noun):
        value, title = getattr(noun, field.name), _title(noun, field.name)
        exchange = lambda new, name=field.name: replace(noun, **{name: new})  # noqa: E731
        if is_dataclass(value):
            yield field.name, value, exchange
        elif isinstance(value, tuple) and value and all(map(is_dataclass, value)):
            for number, one in enumerate(value):
                others = lambda new, n=number, value=value: (*value[:n], new, *value[n + 1 :])  # noqa: E731
                yield f"{title}{number + 1}", one, lambda new, others=others, exchange=exchange: exchange(others(new))
        elif isinstance(value, Mapping) and value and all(map(is_dataclass, value.values())):
            for key, one in value.items():
                others = lambda new, key=key, value=value: {**value, key: new}  # noqa: E731
                yield f"{title}{key}", one, lambda new, others=others, exchange=exchange: exchange(others(new))


def _title(noun, field: str) -> str:
    """Return what stands before the number or name of one of several nouns."""
    if isinstance(noun, WeightedSum | Pipeline):
        return ""
    # Several strategies of a recipe are its stages.
    return "stage." if field == "strategy" else f"{field}."
