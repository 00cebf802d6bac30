"""The command line: `hf-transfer list | show | run | predict | evaluate | push |
cache`, and `scripts/run_recipe.py`.

Whatever is slow to import is imported inside the branch that needs it, so that help, listings and mistakes are told at
once.
"""

import dataclasses
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from . import helptext
from .data.spec import ImageClassification, TextClassification
from .errors import UserError
from .flags import Flag, apply_overrides, check_training, noun_flags, parse_flags, recipe_flags, training_flags
from .recipe import list_recipes, load_recipe, recipe_name, recipe_to_dict

_TRACEBACK = Flag("traceback", ("bool",), help="on an error, show where it was raised")
_HELP = ("-h", "--help")

RUN_FLAGS = {
    flag.name: flag
    for flag in (
        Flag("output_dir", ("str",), help="folder for the model and its results; by default the first free runs/NAME"),
        Flag("demo", ("bool",), help="take the embedded checkpoint and data set, which need no network"),
        Flag("show", ("bool",), help="print the resolved recipe as JSON and stop"),
        Flag("list", ("bool",), help="name all recipes and stop"),
        Flag("resume", ("bool",), help="go on from the last checkpoint in --output_dir"),
        Flag(
            "overwrite",
            ("bool",),
            help="replace the result in --output_dir once the new run has succeeded; other files stay",
        ),
        Flag("keep_checkpoints", ("bool",), help="leave the checkpoints of training in --output_dir"),
        Flag(
            "dtype",
            ("str",),
            default="auto",
            help="precision of the computation; auto is the faster one by a committed table of measurements",
            choices=("auto", "float32", "bfloat16"),
        ),
        Flag("push_to_hub", ("bool",), help="upload the finished run to the Hub, in one commit"),
        Flag("hub_model_id", ("str",), help="where to: user/name, or name; by default the name of --output_dir"),
        Flag(
            "hub_private_repo",
            ("None", "bool"),
            help="hide a new repository from others; by default as the Hub makes it",
        ),
        Flag("trust_remote_code", ("bool",), help="run the Python code that a checkpoint brings along"),
        _TRACEBACK,
    )
}
_READING = ("sep", "header", "encoding")
_EVALUATION = ("label", "label_separator", *_READING)

PUSH_FLAGS = {"hub_private_repo": RUN_FLAGS["hub_private_repo"], "traceback": _TRACEBACK}
PREDICT_FLAGS = {
    "input": Flag("input", ("str",), help="a table of texts or image paths, or a folder of images"),
    "output": Flag("output", ("str",), help="the CSV file to write"),
    **noun_flags("data", TextClassification, dict.fromkeys(("text", "text_pair", *_READING))),
    **noun_flags("data", ImageClassification, dict.fromkeys(("image",))),
    "traceback": _TRACEBACK,
}
EVALUATE_FLAGS = {
    "data.test": Flag("data.test", ("str",), help="a labelled file, or a folder of class folders with images"),
    **noun_flags("data", TextClassification, dict.fromkeys(("text", "text_pair", "drop_empty", *_EVALUATION))),
    **noun_flags("data", ImageClassification, dict.fromkeys(("image", "drop_broken"))),
    "traceback": _TRACEBACK,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hf-transfer`.

    Args:
        argv (`Sequence[str]`, *optional*): the words after the program's name; by default those of this process.

    Returns:
        `int`: the exit status: 0, 2 for a mistake of the user, 130 for Ctrl-C.
    """
    return _guarded(_dispatch, sys.argv[1:] if argv is None else list(argv))


def run_recipe_main(argv: Sequence[str] | None = None) -> int:
    """Run `scripts/run_recipe.py`: what `hf-transfer run` does, with the same flags and exit statuses."""

    def action(words: list[str]) -> None:
        _run(words, "run_recipe.py")

    return _guarded(action, sys.argv[1:] if argv is None else list(argv))


def _guarded(action: Callable[[list[str]], None], words: list[str]) -> int:
    try:
        refuse_name_clash()
        action(words)
        sys.stdout.flush()
        return 0
    except UserError as error:
        if "--traceback" in words:
            traceback.print_exc()
        _last_line(f"error: {error}")
        return 2
    except KeyboardInterrupt as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a launcher may pass on what the terminal has sent already
        _last_line(str(stop) or "interrupted")
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _last_line(text: str) -> None:
    sys.stdout.flush()
    rank = int(os.environ.get("RANK", "0"))
    prefix = f"[rank {rank}] " if rank else ""
    print(prefix + " ".join(text.split("\n")), file=sys.stderr, flush=True)


def refuse_name_clash() -> None:
    """Stop when PyPI's `hf_transfer`, an unrelated package of the same import name, is installed.

    Raises:
        `UserError`: it is; its files lie over ours, or are found before them.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = f" {distribution('hf_transfer').version}"
    except PackageNotFoundError:
        # An editable install finds this file even when the package around it is the other one.
        if "load_recipe" in getattr(sys.modules["hf_transfer"], "__all__", ()):
            return
        found = ""
    raise UserError(
        f"the unrelated package hf_transfer{found} is installed over this one: "
        "`pip uninstall hf_transfer`, then reinstall hf-transfer-recipes"
    )


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in _HELP:
        print(helptext.MAIN, end="")
        return
    command, rest = words[0], words[1:]
    if command == "--version":
        from . import __version__

        print(f"hf-transfer-recipes {__version__}")
    elif command in _COMMANDS:
        _COMMANDS[command](rest)
    elif any(word in _HELP for word in rest):
        _run(words)
    else:
        hint = (
            f"did you mean `hf-transfer run {command}`?" if command in list_recipes() else "see `hf-transfer --help`"
        )
        raise UserError(f"unknown command {command!r}; {hint}")


def _list(words: list[str]) -> None:
    if _helped(words, "hf-transfer list", "Name the recipes.", {"traceback": _TRACEBACK}):
        return
    parse_flags(words, {"traceback": _TRACEBACK})
    recipes = list_recipes()
    width = max(map(len, recipes), default=0)
    for name, summary in recipes.items():
        print(f"{name:{width}}  {summary}")


def _show(words: list[str]) -> None:
    _run(words, "hf-transfer show", show=True)


def _run(words: list[str], command: str = "hf-transfer run", show: bool = False) -> None:
    """Everything up to the run itself needs neither torch nor transformers."""
    if "--list" in words:
        _list([])
        return
    words = _name_first(words)
    if not words or words[0].startswith("-"):
        usage = f"{command} NAME [flags]"
        text = "Train, measure and save what a recipe describes. `NAME --help` adds the flags of that recipe."
        if _helped(words, usage, text, RUN_FLAGS):
            return
        raise UserError(f"name a recipe first ({usage}); --list names them all")
    name, rest = words[0], words[1:]
    recipe = load_recipe(name)
    if any(word in _HELP for word in rest):
        print(helptext.recipe_help(recipe, name, command, RUN_FLAGS))
        return

    check_training(recipe.training, where=f"recipe {name}: training")
    known = {**training_flags(recipe), **recipe_flags(recipe), **RUN_FLAGS}
    values = parse_flags(rest, known, recipe)
    own = {flag: values.pop(flag, RUN_FLAGS[flag].default) for flag in RUN_FLAGS}
    if own["demo"]:
        from .demo import demo_recipe

        recipe = demo_recipe(recipe)
    recipe, training = apply_overrides(recipe, values)
    if show or own["show"]:
        resolved = dataclasses.replace(recipe, training={**recipe.training, **training})
        print(json.dumps(recipe_to_dict(resolved), indent=2, ensure_ascii=False))
        return

    from .network import go_offline_if_unreachable

    if own["push_to_hub"] or not (os.path.exists(recipe.backbone.checkpoint) and os.path.exists(recipe.data.train)):
        go_offline_if_unreachable()
    target = _push_target(own)

    from .runner import run

    result = run(
        recipe,
        own["output_dir"],
        name=recipe_name(name),
        resume=bool(own["resume"]),
        overwrite=bool(own["overwrite"]),
        keep_checkpoints=bool(own["keep_checkpoints"]),
        trust_remote_code=bool(own["trust_remote_code"]),
        dtype=own["dtype"],
        **training,
    )
    if target is not None and _leads():
        _tell(result.push_to_hub(target, private=own["hub_private_repo"]))


def _push_target(own: dict) -> str | None:
    """Ask the Hub, before hours of training, whether it would take the result; returns the repository's name."""
    if not own["push_to_hub"]:
        for flag in ("hub_model_id", "hub_private_repo"):
            if own[flag] is not None:
                raise UserError(f"--{flag} says how to push, which nothing asks for; add --push_to_hub")
        return None
    name = own["hub_model_id"] or os.path.basename(os.path.normpath(own["output_dir"] or ""))
    if name in ("", "."):
        raise UserError("--push_to_hub needs --hub_model_id user/name, or an --output_dir to take the name from")
    if not _leads():
        return name
    from .hub_push import check_push

    return check_push(name)


def _leads() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _push(words: list[str]) -> None:
    usage = "hf-transfer push OUT user/name"
    text = "Upload the finished run in OUT to the Hub, in one commit. Pushing the same files again makes no commit."
    if _helped(words, usage, text, PUSH_FLAGS):
        return
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("-"):
        raise UserError(f"name the output folder of a run and where to push it: {usage}")
    values = parse_flags(words[2:], PUSH_FLAGS)

    from .hub_push import push_folder

    _tell(push_folder(words[0], words[1], private=values.get("hub_private_repo")))


def _tell(pushed) -> None:
    print(f"pushed: {pushed.url}" if pushed.new else f"nothing has changed since {pushed.url}")


def _name_first(words: list[str]) -> list[str]:
    """Move our own switches behind the name: `--demo NAME` is as good as `NAME --demo`."""
    count = 0
    while count < len(words) and words[count][2:] in RUN_FLAGS and "bool" in RUN_FLAGS[words[count][2:]].types:
        count += 1
    return words[count:] + words[:count]


def _predict(words: list[str]) -> None:
    usage = "hf-transfer predict OUT --input FILE_OR_FOLDER --output FILE.csv"
    text = "Label new rows with the model that a run left in OUT; the input's columns are kept."
    if _helped(words, usage, text, PREDICT_FLAGS):
        return
    folder, values = _folder_and_flags(words, usage, PREDICT_FLAGS, required=("input", "output"))

    from .predictor import load

    reading = {name.removeprefix("data."): value for name, value in values.items() if name.startswith("data.")}
    predictor = load(folder)
    _check_meant(reading, predictor)
    count = predictor.predict_file(values["input"], values["output"], **reading)
    print(f"{count} rows with predictions: {values['output']}")


def _evaluate(words: list[str]) -> None:
    usage = "hf-transfer evaluate OUT --data.test FILE_OR_FOLDER"
    text = "Measure the model that a run left in OUT; labels are matched by name. Columns are those of the run."
    if _helped(words, usage, text, EVALUATE_FLAGS):
        return
    folder, values = _folder_and_flags(words, usage, EVALUATE_FLAGS, required=("data.test",))

    from .predictor import load

    predictor = load(folder)
    overrides = {name.removeprefix("data."): value for name, value in values.items() if name.startswith("data.")}
    source = overrides.pop("test")
    _check_meant(overrides, predictor)
    metrics = predictor.evaluate_file(source, **overrides)
    width = max(map(len, metrics))
    for name, value in metrics.items():
        print(f"{name:{width}}  {value:.4f}")


def _cache(words: list[str]) -> None:
    usage = "hf-transfer cache list | clear"
    text = (
        "Recorded features of frozen backbones, shared by all runs: list them, or remove them all. HF_TRANSFER_CACHE "
        "names their folder, HF_TRANSFER_CACHE_GB how large they may grow together."
    )
    if _helped(words, usage, text, {"traceback": _TRACEBACK}):
        return
    if not words or words[0] not in ("list", "clear"):
        raise UserError(f"say what to do with the cache: {usage}")
    parse_flags(words[1:], {"traceback": _TRACEBACK})

    from .features import cachetext

    print(cachetext.listing() if words[0] == "list" else cachetext.cleared())


def _check_meant(reading: dict, predictor) -> None:
    """Refuse flags of the other modality: the commands take both kinds, a model has one."""
    kind = type(predictor.recipe.data).__name__
    for name in reading:
        if not hasattr(predictor.recipe.data, name):
            raise UserError(f"--data.{name} means nothing to {'an' if kind[0] == 'I' else 'a'} {kind} model")


def _folder_and_flags(words: list[str], usage: str, flags: dict[str, Flag], required: Sequence[str]):
    if not words or words[0].startswith("-"):
        raise UserError(f"name the output folder of a run first: {usage}")
    values = parse_flags(words[1:], flags)
    for name in required:
        if not values.get(name):
            raise UserError(f"--{name} is missing: {usage}")
    values.pop("traceback", None)
    return words[0], values


def _helped(words: list[str], usage: str, text: str, flags: dict[str, Flag]) -> bool:
    wanted = any(word in _HELP for word in words)
    if wanted:
        print(helptext.command_help(usage, text, flags))
    return wanted


_COMMANDS = {
    "list": _list,
    "show": _show,
    "run": _run,
    "predict": _predict,
    "evaluate": _evaluate,
    "push": _push,
    "cache": _cache,
}


if __name__ == "__main__":
    sys.exit(main())
