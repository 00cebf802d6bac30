"""A recipe is an immutable value that names data, backbone, head, strategy and objective.

Nothing here opens a data set or imports torch: naming, listing and explaining a recipe must stay cheap.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import hf_transfer

from .data.spec import ImageClassification, TextClassification
from .errors import UserError
from .heads import NativeHead
from .objectives import Supervised
from .strategies import FullFineTune

NOUNS = ("data", "backbone", "head", "strategy", "objective")

# What tells the nouns apart. A structural test, so that a library user's own head or strategy needs no base class.
_MARKS = {"data": "train", "backbone": "modality", "head": "reads", "strategy": "prepare"}


class _ReadOnly(dict):
    """A dict that refuses changes; unlike `MappingProxyType` it can be pickled, deep-copied and written as JSON."""

    def _refuse(self, *args, **kwargs):
        raise TypeError("a recipe does not change; make another one with dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return (type(self), (dict(self),))


@dataclass(frozen=True)
class Recipe:
    """What to train on what, and how. A value: equality, pickling and `dataclasses.replace` work.

    Args:
        summary (`str`): one line that says what the recipe does.
        data (`TextClassification` or `ImageClassification`): where the rows come from.
        backbone (`TextBackbone` or `ImageBackbone`): the pretrained network; reads what `data` holds.
        head (`NativeHead`, `LinearHead`, `MLPHead` or `LSTMHead`): what is added on top.
        strategy (`FullFineTune` or `FrozenFeatures`): which parameters move.
        objective (`Supervised`): what is minimised.
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
        for noun in NOUNS:
            _check_noun(noun, getattr(self, noun))
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


def _check_noun(noun: str, value) -> None:
    is_value = is_dataclass(value) and not isinstance(value, type)
    role = next((role for role, mark in _MARKS.items() if hasattr(value, mark)), "objective")
    # Data is named by class: its modality decides which backbone may read it.
    fits = (
        is_value and role == noun and (noun != "data" or isinstance(value, TextClassification | ImageClassification))
    )
    if not fits:
        hint = f"; write {value.__name__}(...), a value" if isinstance(value, type) else ""
        examples = {
            "data": "TextClassification, ImageClassification",
            "backbone": "TextBackbone, ImageBackbone",
            "head": "NativeHead, LinearHead, MLPHead, LSTMHead",
            "strategy": "FullFineTune, FrozenFeatures",
            "objective": "Supervised",
        }
        raise UserError(f"recipe: {noun} is {value!r}; allowed: {examples[noun]}{hint}")


def _checked_metrics(metrics) -> tuple[str, ...] | None:
    if metrics is None:
        return None
    if not isinstance(metrics, list | tuple) or not metrics or not all(isinstance(name, str) for name in metrics):
        raise UserError(f"recipe: metrics is {metrics!r}; allowed: a tuple of metric names, or none")
    return tuple(metrics)


def _checked_training(training) -> Mapping[str, Any]:
    if not isinstance(training, Mapping):
        raise UserError(f"recipe: training is {training!r}; allowed: a mapping of TrainingArguments fields")
    copied = {}
    for name, value in training.items():
        if not isinstance(name, str):
            raise UserError(f"recipe: training has the key {name!r}; keys are names of TrainingArguments fields")
        try:
            # The way through JSON is also the deep copy: later changes by the caller stay outside.
            copied[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            raise UserError(
                f"recipe: training[{name!r}] is {value!r}; allowed: text, finite numbers, true, false, none, "
                "and lists and dicts of those"
            ) from None
    return _ReadOnly(copied)


# ---------------------------------------------------------------------------------------------------------------------
# recipe.json


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Write a recipe as plain JSON values: each noun is `{"kind": its class name, field: value, ...}`.

    An in-memory `datasets.Dataset` is written as `{"in_memory": number of rows}`, which cannot be read back.
    """
    result: dict[str, Any] = {"summary": recipe.summary}
    for noun in NOUNS:
        value = getattr(recipe, noun)
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        result[noun] = {"kind": type(value).__name__, **fields}
    result["metrics"] = _plain(recipe.metrics)
    result["training"] = _plain(recipe.training)
    return result


def _plain(value):
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "column_names"):
        return {"in_memory": len(value)}
    return str(value)  # a path


def canonical_json(recipe: Recipe) -> str:
    """One line of JSON, the same for recipes built from the same values: the key of caches and comparisons."""
    return json.dumps(recipe_to_dict(recipe), sort_keys=True, separators=(",", ":"), allow_nan=False)


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
    values = {key: _noun_from_dict(key, value, where) if key in NOUNS else value for key, value in content.items()}
    return Recipe(**values)


def _noun_from_dict(noun: str, content, where: str):
    kind = content.get("kind") if isinstance(content, Mapping) else None
    # Nothing is imported by a name from a file: only our own public nouns count.
    known = kind if isinstance(kind, str) and kind in hf_transfer.__all__ else None
    cls = getattr(hf_transfer, known) if known else None
    if not (isinstance(cls, type) and is_dataclass(cls)) or cls is Recipe:
        raise UserError(f"{where}: {noun} has the kind {kind!r}, which hf_transfer does not have")
    values = {key: value for key, value in content.items() if key != "kind"}
    fields = dataclasses.fields(cls)
    required = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    _check_keys(f"{where}: {noun} ({kind})", values, [f.name for f in fields], required)
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        if isinstance(value, Mapping) and "in_memory" in value:
            raise UserError(f"{where}: {noun}.{name} was a data set in memory; name a file or a Hub id instead")
        if not _fits(value, hints[name]):
            raise UserError(f"{where}: {noun}.{name} is {value!r}, which does not fit {kind}")
    return cls(**values)


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
    if hint is type(None):
        return value is None
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float)
    return hint in (str, int) and isinstance(value, hint)


# ---------------------------------------------------------------------------------------------------------------------
# Recipes by name or path


def recipes_folder() -> Path:
    """Where the shipped recipes are: inside the package when installed from a wheel, else beside it in the clone."""
    package = Path(__file__).resolve().parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def list_recipes() -> dict[str, str]:
    """Name every shipped recipe: a `dict` from name, such as `"text/linear_probe"`, to its summary, sorted by name."""
    return {name: _load_python(path).summary for name, path in _shipped().items()}


def _shipped() -> dict[str, Path]:
    root = recipes_folder()
    files = (path for path in root.rglob("*.py") if path.name != "__init__.py")
    return dict(sorted((path.relative_to(root).with_suffix("").as_posix(), path) for path in files))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Load a recipe.

    Args:
        name_or_path (`str` or `Path`): a shipped recipe's name such as `"text/linear_probe"`; a Python file that
            defines `RECIPE`; a `recipe.json`; or the output folder of a run, which holds one.

    Raises:
        `UserError`: no such recipe (with the nearest names), or a file that does not define one.
    """
    shipped = _shipped().get(str(name_or_path))
    if shipped is not None:
        return _load_python(shipped)
    path = _recipe_file(name_or_path)
    return _load_python(path) if path.suffix == ".py" else _load_json(path)


def recipe_name(name_or_path: str | Path) -> str:
    """Return what a run calls this recipe: a shipped one's own name, else the file's (or its folder's) name.

    Raises:
        `UserError`: no such recipe.
    """
    if str(name_or_path) in _shipped():
        return str(name_or_path)
    path = _recipe_file(name_or_path).resolve()
    return path.parent.name if path.name == "recipe.json" else path.stem


def _recipe_file(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_dir() and (path / "recipe.json").is_file():
        path = path / "recipe.json"
    if path.suffix not in (".py", ".json"):
        near = get_close_matches(str(name_or_path), _shipped(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`hf-transfer list` names them all"
        raise UserError(f"there is no recipe {str(name_or_path)!r}; {hint}")
    if not path.is_file():
        raise UserError(f"recipe file {str(path)!r} does not exist")
    return path


def _load_python(path: Path) -> Recipe:
    # Executed by path and not kept in sys.modules: two files of one name in two folders must not meet.
    spec = spec_from_file_location(f"_hf_transfer_recipe_{path.stem}", path)
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        found = "nothing of that name" if recipe is None else type(recipe).__name__
        raise UserError(f"{path}: expected RECIPE = Recipe(...), found {found}")
    return recipe


def _load_json(path: Path) -> Recipe:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error
    return recipe_from_dict(content, where=str(path))
