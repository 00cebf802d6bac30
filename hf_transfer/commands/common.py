"""What the commands share: --help, --traceback, and the folder of a run as the first word."""

from collections.abc import Sequence

from .. import helptext
from ..errors import UserError
from ..flags import Flag, parse_flags

HELP = ("-h", "--help")
TRACEBACK = Flag("traceback", ("bool",), help="on an error, show where it was raised")
TRUST = Flag("trust_remote_code", ("bool",), help="run the Python code that a checkpoint brings along")
TASK = Flag("task", ("str",), help="of a model of several tasks, the one that is meant")
READING = ("sep", "header", "encoding")  # how a table is written


def helped(words: list[str], usage: str, text: str, flags: dict[str, Flag]) -> bool:
    """Print the help page when it is asked for, and say whether it was."""
    wanted = any(word in HELP for word in words)
    if wanted:
        print(helptext.command_help(usage, text, flags))
    return wanted


def folder_and_flags(words: list[str], usage: str, flags: dict[str, Flag], required: Sequence[str] = ()):
    """Return the folder of a run, the first word, and the values of the flags behind it.

    Raises:
        `UserError`: no folder is named, or a flag of `required` is missing.
    """
    if not words or words[0].startswith("-"):
        raise UserError(f"name the output folder of a run first: {usage}")
    values = parse_flags(words[1:], flags)
    for name in required:
        if not values.get(name):
            raise UserError(f"--{name} is missing: {usage}")
    values.pop("traceback", None)
    return words[0], values


def check_meant(reading: dict, predictor) -> None:
    """Refuse flags of the other modality: the commands take both kinds, a model has one."""
    kind = type(predictor.recipe.data).__name__
    for name in reading:
        if not hasattr(predictor.recipe.data, name):
            raise UserError(f"--data.{name} means nothing to {'an' if kind[0] == 'I' else 'a'} {kind} model")


def loaded(folder: str, values: dict):
    """Load the model in a folder; of several tasks, the one that `--task` names."""
    from ..predictor import load

    task, found = values.pop("task", None), load(folder, bool(values.pop("trust_remote_code", False)))
    if hasattr(found, "of"):
        return found.of(task)
    if task is not None:
        raise UserError(f"{folder} is a model of one task; leave --task out")
    return found
