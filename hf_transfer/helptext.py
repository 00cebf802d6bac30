"""Help pages: what each command takes, and for a recipe its own knobs with its own values."""

import json
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from .flags import Flag, recipe_flags, training_flags
from .places import place_of, places
from .recipe import Recipe

_COLUMN = 46  # where the explanations start

MAIN = """\
usage: hf-transfer COMMAND ...

Transfer-learning recipes for Hugging Face checkpoints.

  list                                   name the recipes
  show NAME [flags]                      print a recipe with everything resolved, as JSON that `run` takes
  run NAME [flags]                       train, measure and save a model
  NAME --help                            the flags of a recipe, with its values
  predict OUT --input F --output F       label new rows with the model in the folder OUT
  evaluate OUT --data.test F             measure the model in OUT on more labelled rows
  demo OUT                               a page in the browser to try the model in OUT
  adapt --source F --target F            try cheap methods from one domain to another, ranked without target labels
  average OUT1 OUT2 --output_dir OUT     average the weights of finished runs: WiSE-FT, soups
  push OUT user/name                     upload a finished run to the Hub, in one commit
  export OUT --format onnx               write the model for onnxruntime, and check it there
  export OUT --task NAME                 write one task of a model of several as a model of its own
  cache list | clear                     recorded features of frozen backbones: what is kept, or remove it
  --version                              print the version

NAME is one of `hf-transfer list`, a .py file that defines RECIPE, the recipe.json of a run, or hub://user/name, a
pushed run.
Every command has --help. With --traceback an error shows where it was raised.
"""


def recipe_help(recipe: Recipe, name: str, command: str, own: Mapping[str, Flag]) -> str:
    """Write the help page of a recipe.

    Args:
        recipe (`Recipe`): its values are shown.
        name (`str`): as given on the command line.
        command (`str`): how the program was called: `hf-transfer run` or `run_recipe.py`.
        own (`Mapping[str, Flag]`): the run flags.
    """
    dotted, training = recipe_flags(recipe), training_flags(recipe)
    parts = [f"usage: {command} {name} [flags]", "", recipe.summary, "", "run"]
    parts += _lines(own.values(), show_values=False)
    parts += ["", "recipe: --flag value, as it is now"]
    for place, noun in places(recipe).items():
        flags = [flag for flag in dotted.values() if place_of(flag.name, recipe) == place]
        if isinstance(noun, Recipe):  # of a pipeline; the other fields are listed once, at the end
            flags = [flag for flag in flags if flag.name.removeprefix(f"{place}.") in noun.training]
        parts += [f" {place}: {type(noun).__name__}", *_lines(flags)]
    several = f", for all recipes; --1.FIELD is for the first of {len(recipe.recipes)}" if _is_pipeline(recipe) else ""
    parts += ["", f"training (transformers.TrainingArguments): those this recipe sets, then the others{several}"]
    own_training = getattr(recipe, "training", {})
    chosen = [flag for flag in training.values() if flag.name in own_training]
    parts += _lines(chosen, mark="*")
    parts += _lines(flag for flag in training.values() if flag.name not in own_training)
    return "\n".join(parts)


def _is_pipeline(recipe) -> bool:
    return hasattr(recipe, "recipes")


def command_help(usage: str, text: str, flags: Mapping[str, Flag]) -> str:
    """Write the help page of a command that knows its flags without a recipe."""
    return "\n".join([f"usage: {usage}", "", text, "", *_lines(flags.values(), show_values=False)])


def _lines(flags: Iterable[Flag], show_values: bool = True, mark: str = " ") -> list[str]:
    width = min(max(shutil.get_terminal_size((119, 0)).columns, 80), 140)
    lines = []
    for flag in flags:
        left = f" {mark}--{flag.name}" + (f" {shown(flag.default)}" if show_values else "")
        text = first_sentence(flag.help)
        if flag.choices and len(flag.choices) <= 6 and flag.choices[0] not in text:
            text += f" ({', '.join(flag.choices)})"
        right = textwrap.wrap(text, width - _COLUMN)
        if len(left) >= _COLUMN or not right:
            lines.append(left)
        else:
            lines.append(left.ljust(_COLUMN) + right.pop(0))
        lines += [" " * _COLUMN + line for line in right]
    return lines


def first_sentence(text: str) -> str:
    """Cut a text after its first sentence; a point inside a name or a number does not end one."""
    for end in range(len(text)):
        ends = text[end] == "." and text[end + 1 : end + 2] == " " and text[end + 2 : end + 3].isupper()
        if ends and not text[:end].endswith(("e.g", "i.e", "etc")):
            return text[: end + 1]
    return text


def shown(value: Any) -> str:
    """Write a value the way it is typed on a command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or '""'
    if isinstance(value, dict):
        return f"'{json.dumps(value)}'"
    if hasattr(value, "column_names"):
        return "(a data set in memory)"
    text = str(value).encode("unicode_escape").decode() if value == "\t" else str(value)
    return text if text and not set(text) & set(" \"'\\;|&<>*") else f"'{text}'"
