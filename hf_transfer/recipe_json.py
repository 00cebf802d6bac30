"""A recipe as JSON and back: what `recipe.json` holds."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import hf_transfer

from .errors import UserError
from .recipe import NOUNS, Pipeline, Recipe, Stage, noun_of


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Write a recipe as plain JSON values: each noun is `{"kind": its class name, field: value, ...}`, inside another
    one too, and several stages are a list.

    An in-memory `datasets.Dataset` is written as `{"in_memory": number of rows}`, which cannot be read back.
    """
    result: dict[str, Any] = {"summary": recipe.summary}
    for noun in NOUNS:
        result[noun] = _plain(getattr(recipe, noun))
    result["metrics"] = _plain(recipe.metrics)
    result["training"] = _plain(recipe.training)
    return result


def pipeline_to_dict(pipeline: Pipeline) -> dict[str, Any]:
    """Write a pipeline, its recipes in full, as plain JSON values."""
    own = {f.name: _plain(getattr(pipeline, f.name)) for f in dataclasses.fields(pipeline) if f.name != "recipes"}
    return {**own, "recipes": [recipe_to_dict(one) for one in pipeline.recipes]}


def pipeline_from_dict(content: Mapping[str, Any], where: str = "recipe.json") -> Pipeline:
    """Rebuild a pipeline from what [`pipeline_to_dict`] wrote; raises as [`recipe_from_dict`]."""
    _check_keys(where, content, [f.name for f in dataclasses.fields(Pipeline)], required=("recipes",))
    recipes = content["recipes"] if isinstance(content["recipes"], list) else [content["recipes"]]
    parts = [
        one if isinstance(one, str) else recipe_from_dict(one, f"{where}: recipe {number}")
        for number, one in enumerate(recipes, 1)
    ]
    return Pipeline(**{**content, "recipes": tuple(parts), "names": tuple(content.get("names") or ())})


def _plain(value):
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "column_names"):
        return {"in_memory": len(value)}
    if is_dataclass(value):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    return str(value)  # a path


def recipe_from_dict(content: Mapping[str, Any], where: str = "recipe.json") -> Recipe:
    """Rebuild a recipe from what `recipe_to_dict` wrote.

    Args:
        content (`Mapping[str, Any]`): the parsed JSON.
        where (`str`): file name for messages.

    Raises:
        `UserError`: unknown or missing fields, a kind that is not in `hf_transfer.__all__`, or a wrong value.
    """
    if not isinstance(content, Mapping):
        raise UserError(f"{where}: found {type(content).__name__}, expected an object with summary, data, backbone")
    allowed = tuple(f.name for f in dataclasses.fields(Recipe))
    _check_keys(where, content, allowed, required=("summary", "data", "backbone"))
    values = dict(content)
    for noun in NOUNS:
        if noun == "strategy" and isinstance(content.get(noun), list):
            parts = enumerate(content[noun], 1)
            values[noun] = tuple(_noun_from_dict(f"stage.{number}", part, where) for number, part in parts)
        elif noun == "head" and _holds_nouns(content.get(noun)):
            values[noun] = {task: _noun_from_dict(f"head.{task}", one, where) for task, one in content[noun].items()}
        elif noun in content:
            values[noun] = _noun_from_dict(noun, content[noun], where)
    return Recipe(**values)


def _noun_from_dict(noun: str, content, where: str):
    kind = content.get("kind") if isinstance(content, Mapping) else None
    # Nothing is imported by a name from a file: only our own public nouns count, and functions have small initials.
    known = kind if isinstance(kind, str) and kind in hf_transfer.__all__ and kind[0].isupper() else None
    cls = getattr(hf_transfer, known) if known else None
    if not is_dataclass(cls) or (noun_of(cls) is None and cls is not Stage):
        raise UserError(f"{where}: {noun} has the kind {kind!r}, which hf_transfer does not have")
    values = {key: value for key, value in content.items() if key != "kind"}
    fields = dataclasses.fields(cls)
    required = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    _check_keys(f"{where}: {noun} ({kind})", values, [f.name for f in fields], required)
    hints = typing.get_type_hints(cls)
    for name, value in list(values.items()):
        if isinstance(value, Mapping) and "in_memory" in value:
            raise UserError(f"{where}: {noun}.{name} was a data set in memory; name a file or a Hub id instead")
        if isinstance(value, Mapping) and "kind" in value:
            values[name] = _noun_from_dict(f"{noun}.{name}", value, where)
            continue
        if _holds_nouns(value):  # the tasks of a mixture
            values[name] = {key: _noun_from_dict(f"{noun}.{name}.{key}", one, where) for key, one in value.items()}
            continue
        if isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            parts = enumerate(value, 1)
            values[name] = tuple(_noun_from_dict(f"{noun}.{number}", part, where) for number, part in parts)
            continue
        if not _fits(value, hints[name]):
            raise UserError(f"{where}: {noun}.{name} is {value!r}, which does not fit {kind}")
    return cls(**values)


def _holds_nouns(value) -> bool:
    """Whether a JSON value is a mapping of names to nouns, and no noun itself."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, Mapping) for one in value.values())


def _check_keys(where: str, content: Mapping, allowed, required) -> None:
    for key in content:
        if key not in allowed:
            raise UserError(f"{where}: unknown field {key!r}; allowed: {', '.join(allowed) or 'none'}")
    for key in required:
        if key not in content:
            raise UserError(f"{where}: the field {key!r} is missing")


def _fits(value, hint) -> bool:
    """Say whether a JSON value may stand for a field of this type; a list stands for a tuple, an int for a float."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, inner) for inner in typing.get_args(hint))
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(inner, typing.get_args(hint)[0]) for inner in value)
    if origin is Mapping or hint is dict:
        return isinstance(value, Mapping)
    if hint is Any:  # a noun inside a noun; only `None` is written without a kind
        return value is None
    if hint is type(None):
        return value is None
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float)
    return hint in (str, int) and isinstance(value, hint)
