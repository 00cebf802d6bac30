"""Command-line flags made from a recipe: dotted ones are its nouns' fields, flat ones are `TrainingArguments` fields.

The command line changes values; a recipe changes kinds. So the flags of a recipe are the fields of the very nouns it
names, with its values as their defaults.
"""

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from .arguments import DEFAULTS, FIXED
from .errors import UserError
from .places import place_of, places, put
from .recipe import Pipeline, Recipe, Stage
from .training_fields import training_fields

# Fields that the package sets, and what to do instead.
REFUSED = {
    **dict.fromkeys(FIXED, "the run sets it"),
    "push_to_hub": "nothing is pushed while training: Trainer would push at every save and keep the token in clear",
    "resume_from_checkpoint": "use --resume, which finds the last checkpoint in --output_dir",
    "do_train": "a run always trains, validates and tests",
    "do_eval": "a run always trains, validates and tests",
    "do_predict": "a run always trains, validates and tests; for new rows there is `hf-transfer predict`",
    "prediction_loss_only": "the metrics need the predictions",
    "batch_eval_metrics": "the metrics need all predictions at once",
    "include_for_metrics": "the metrics need predictions and labels alone",
}
_HUB = "nothing is pushed while training"

# Setting the flag on the left takes these fields of the same noun back to their defaults: they speak of what it names.
_KEPT_WITH_NEW_DATA = ("split_seed", "class_weights", "drop_empty", "drop_broken")
_PIPELINE = ("baseline", "transductive")  # what a pipeline lets be set
_RESET_WITH_NEW_CHECKPOINT = ("revision",)


@dataclass(frozen=True)
class Flag:
    """One `--name` and how its text becomes a value.

    Args:
        name (`str`): without the dashes: `learning_rate`, `head.dropout`.
        types (`tuple[str, ...]`): what it takes, as in `TrainingField`, and `"tuple[str]"` or `"tuple[int]"`.
        default (`Any`): the value without the flag, shown in the help.
        help (`str`): one sentence.
        choices (`tuple[str, ...]`): the texts allowed; empty for any.
        bare (`bool`): may stand without a value, and then is true.
    """

    name: str
    types: tuple[str, ...]
    default: Any = None
    help: str = ""
    choices: tuple[str, ...] = ()
    bare: bool = False

    def convert(self, text: str) -> Any:
        """Turn the text of a command line into a value: none, truth values and numbers are tried before text.

        Raises:
            `UserError`: the text is none of what this flag takes.
        """
        lowered = text.strip().lower()
        # Where the text "none" is a value itself, as in --report_to none, it stays one.
        if "None" in self.types and lowered == "none" and self.default != "none":
            return None
        if "bool" in self.types and lowered in ("true", "false"):
            return lowered == "true"
        for kind, parse in (("int", int), ("float", float)):
            if kind in self.types:
                value = _number(text, parse)
                if value is not None:
                    return value
        if "dict" in self.types and lowered.startswith("{"):
            return self._json(text)
        return self._text_or_list(text)

    def _json(self, text: str) -> dict:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"--{self.name} is not JSON: {error.msg} at character {error.pos + 1}") from None

    def _text_or_list(self, text: str) -> Any:
        series = next((kind for kind in self.types if kind.startswith(("tuple[", "list["))), None)
        if series and ("," in text or "str" not in self.types):
            parts = [part.strip() for part in text.split(",")] if text.strip() else []
            parse = {"[int]": int, "[float]": float}.get(series[series.index("[") :])
            values = [_number(part, parse) for part in parts] if parse else parts
            if None not in values and "" not in values:
                return values if series.startswith("list") else tuple(values)
        elif "str" in self.types and (not self.choices or text in self.choices):
            return text
        raise UserError(f"--{self.name} is {text!r}; allowed: {self.allowed}")

    @property
    def allowed(self) -> str:
        """What the flag takes, in words."""
        words = {"None": "none", "bool": "true or false", "int": "an integer", "float": "a number", "str": "text"}
        words.update({"dict": "a JSON object", "tuple[int]": "integers with commas between"})
        words["tuple[float]"] = "numbers with commas between"
        words.update(dict.fromkeys(("tuple[str]", "list[str]"), "names with commas between"))
        kinds = [words[kind] for kind in self.types if kind in words and kind != "None"]
        if self.choices:
            kinds = [kind for kind in kinds if kind != "text"] + list(self.choices)
        return ", ".join(kinds + (["none"] if "None" in self.types else []))


def _number(text: str, parse: type) -> int | float | None:
    try:
        value = parse(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


# ---------------------------------------------------------------------------------------------------------------------
# Which flags there are


def training_flags(recipe: Recipe | None = None) -> dict[str, Flag]:
    """The flat flags: fields of `TrainingArguments`, by name, with the values that `recipe` would train with."""
    values = {**DEFAULTS, **getattr(recipe, "training", {})}
    return {
        name: Flag(name, found.types, values.get(name, found.default), found.help, found.choices, found.bare)
        for name, found in training_fields().items()
        if name != "output_dir" and refusal(name) is None
    }


def recipe_flags(recipe: Recipe) -> dict[str, Flag]:
    """The dotted flags: `--data.train`, `--backbone.checkpoint` and every other field of this recipe's nouns; of a
    stage, `--stage.2.learning_rate` and every other field of `TrainingArguments` too."""
    flags = {}
    for place, value in places(recipe).items():
        if not isinstance(value, Recipe):  # of a pipeline: its nouns have places of their own
            names = _PIPELINE if isinstance(value, Pipeline) else [found.name for found in dataclasses.fields(value)]
            flags.update(noun_flags(place, type(value), {name: getattr(value, name) for name in names}))
            for name, full in getattr(value, "short", {}).items():
                text = f"short for --{place}.{full}"
                flags[f"{place}.{name}"] = Flag(f"{place}.{name}", ("str",), getattr(value, name).train, text)
        if isinstance(value, Stage | Recipe):
            outer = recipe.training if isinstance(value, Stage) and isinstance(recipe, Recipe) else {}
            own = {**getattr(getattr(value, "strategy", None), "training_defaults", {}), **outer, **value.training}
            for name, flag in training_flags(recipe).items():
                flags[f"{place}.{name}"] = replace(flag, name=f"{place}.{name}", default=own.get(name, flag.default))
    return flags


def noun_flags(noun: str, cls: type, values: Mapping[str, Any]) -> dict[str, Flag]:
    """The dotted flags of one class of nouns, for the fields in `values`, which are shown as defaults."""
    hints, documented = typing.get_type_hints(cls), {}
    for owner in reversed(cls.__mro__):  # a field is explained where it is declared
        documented |= field_docs(owner)
    kinds = {name: tuple(_kinds(hints[name])) for name in values}
    return {
        f"{noun}.{name}": Flag(f"{noun}.{name}", kinds[name], value, documented.get(name, ""))
        for name, value in values.items()
        if "noun" not in kinds[name]  # those have flags of their own
    }


def refusal(name: str) -> str | None:
    """Say why a field of `TrainingArguments` cannot be set; `None` for one that can."""
    return REFUSED.get(name) or (_HUB if name.startswith("hub_") else None)


def _member(hint):
    """Return what a tuple type holds where that is a noun; any other type as it is."""
    return Any if typing.get_origin(hint) is tuple and typing.get_args(hint)[0] is Any else hint


def _kinds(hint) -> list[str]:
    """Name the members of a type that can be written on a command line."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [kind for inner in typing.get_args(hint) for kind in _kinds(inner)]
    if hint is Any or typing.get_origin(hint) is Mapping or (hint := _member(hint)) is Any:
        return ["noun"]
    if hint is dict:
        return ["dict"]
    if typing.get_origin(hint) is tuple:
        return [f"tuple[{typing.get_args(hint)[0].__name__}]"]
    if hint is type(None):
        return ["None"]
    if dataclasses.is_dataclass(hint):
        return ["noun"]
    return [hint.__name__] if hint in (bool, int, float, str) else []


def field_docs(cls: type) -> dict[str, str]:
    """Read the `Args:` section of a docstring: field name to its text, on one line."""
    section = re.search(r"^ *Args:\n(.*?)(?:\n\s*\n|\Z)", cls.__doc__ or "", re.DOTALL | re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^ *(\w+) \(.*?\): (.*?)(?=\n *\w+ \(`|\Z)", section.group(1), re.DOTALL | re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


# ---------------------------------------------------------------------------------------------------------------------
# From words to values


def parse_flags(argv: Sequence[str], flags: Mapping[str, Flag], recipe: Recipe | None = None) -> dict[str, Any]:
    """Read `--name value`, `--name=value` and, for switches, a bare `--name`. No abbreviations; the last one counts.

    Args:
        argv (`Sequence[str]`): the words after the command and its positional arguments.
        flags (`Mapping[str, Flag]`): what is allowed.
        recipe (`Recipe`, *optional*): to say more about a flag that this recipe does not have.

    Raises:
        `UserError`: an unknown flag (with the nearest), a value missing or of a wrong kind, a word that is no flag.
    """
    words, values = list(argv), {}
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise UserError(f"unexpected argument {word!r}; flags start with -- and come after the name")
        name, has_value, text = word[2:].partition("=")
        flag = flags.get(name)
        if flag is None:
            raise UserError(_unknown(name, flags, recipe))
        if not has_value:
            if words and _is_value(words[0], flag):
                text = words.pop(0)
            elif flag.bare or "bool" in flag.types:
                text = "true"
            else:
                raise UserError(f"--{name} needs a value: {flag.allowed}")
        # A bare --fsdp is true, though it takes text otherwise.
        values[name] = True if flag.bare and text == "true" else flag.convert(text)
    return values


def _is_value(word: str, flag: Flag) -> bool:
    if word.startswith("--"):
        return False
    is_switch = set(flag.types) <= {"bool", "None"}
    return not is_switch or word.lower() in ("true", "false", "none")


def _unknown(name: str, flags: Mapping[str, Flag], recipe: Recipe | None) -> str:
    reason = refusal(name) if recipe is not None else None
    if reason:
        return f"--{name} cannot be set: {reason}"
    message = f"unknown flag --{name}"
    place = place_of(name, recipe) if recipe is not None else None
    if place is not None and not isinstance(places(recipe)[place], Stage | Recipe):
        has = [flag for flag in flags if place_of(flag, recipe) == place]
        kind = type(places(recipe)[place]).__name__
        message += f"; this recipe's {place} is a {kind}, with {', '.join('--' + flag for flag in has) or 'no flags'}"
    return message + _nearest(name, flags, "--")


def _nearest(name: str, known, dashes: str = "") -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {dashes}{near[0]}?" if near else ""


# ---------------------------------------------------------------------------------------------------------------------
# From values to a recipe


def apply_overrides(recipe: Recipe, overrides: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """Put values into a recipe.

    A new `data.train` takes the recipe's own splits, columns and label settings back to automatic, unless they are
    overridden too; a new `backbone.checkpoint` does so with `backbone.revision`.

    Args:
        recipe (`Recipe`): stays as it is.
        overrides (`Mapping[str, Any]`): values by dotted name (`head.dropout`) or `TrainingArguments` field.

    Returns:
        `tuple[Recipe, dict[str, Any]]`: the changed recipe, and the `TrainingArguments` values, which are not in it.

    Raises:
        `UserError`: an unknown name, or a value that its noun refuses.
    """
    dotted = {name: value for name, value in overrides.items() if "." in name}
    training = {name: value for name, value in overrides.items() if "." not in name}
    known = recipe_flags(recipe)
    for name in dotted:
        if name not in known:
            raise UserError(_unknown(name, known, recipe))
    dotted = _in_full(dotted, recipe)
    check_training(training)
    grouped: dict[str, dict[str, Any]] = {}
    for name, value in dotted.items():
        place = place_of(name, recipe)
        grouped.setdefault(place, {})[name.removeprefix(f"{place}.")] = value
    # The longest first: what is inside a stage is put in before the stage's own fields.
    for place in sorted(grouped, key=len, reverse=True):
        current, values = places(recipe)[place], grouped[place]
        if isinstance(current, Stage | Recipe):
            check_training(values, where=place)
            values = {"training": {**current.training, **values}}
        recipe = put(recipe, place, replace(current, **{**_resets(place, current, values), **values}))
    return recipe, training


def _in_full(dotted: Mapping[str, Any], recipe) -> dict[str, Any]:
    """Write short names in full (`data.source` for `data.source.train`), and take along what goes with a value."""
    full = {}
    for name, value in dotted.items():
        place = place_of(name, recipe)
        field = name.removeprefix(f"{place}.")
        short = getattr(places(recipe)[place], "short", {})
        full[f"{place}.{short.get(field, field)}"] = value
    for place, noun in places(recipe).items():
        for name, other in getattr(noun, "goes_with", {}).items():
            if f"{place}.{name}" in full:
                full.setdefault(f"{place}.{other}", None)
    return full


def _resets(noun: str, current, values: Mapping[str, Any]) -> dict[str, Any]:
    fields = [f for f in dataclasses.fields(current) if f.default is not dataclasses.MISSING]
    # Inside a mixture, a fused backbone or a pipeline: data.tasks.sst2, backbone.parts.source, 2.data
    kind = "data" if hasattr(current, "train") else "backbone" if hasattr(current, "checkpoint") else ""
    if kind == "data" and "train" in values:
        return {f.name: f.default for f in fields if f.name not in _KEPT_WITH_NEW_DATA}
    if kind == "backbone" and "checkpoint" in values:
        return {f.name: f.default for f in fields if f.name in _RESET_WITH_NEW_CHECKPOINT}
    return {}


def check_training(training: Mapping[str, Any], where: str = "training") -> None:
    """Check names, and values that have a fixed list, against `TrainingArguments`, without importing transformers.

    Raises:
        `UserError`: a field that does not exist (with the nearest), that the run sets itself, or with a wrong value.
    """
    fields = training_fields()
    for name, value in training.items():
        if name not in fields:
            raise UserError(f"{where}: TrainingArguments has no field {name!r}{_nearest(name, fields)}")
        reason = "it is an argument of its own" if name == "output_dir" else refusal(name)
        if reason:
            raise UserError(f"{where}: {name} cannot be set: {reason}")
        choices = fields[name].choices
        if choices and isinstance(value, str) and value not in choices:
            raise UserError(f"{where}: {name} is {value!r}; allowed: {', '.join(choices)}")
