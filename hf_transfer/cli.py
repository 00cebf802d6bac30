"""The command line: `hf-transfer COMMAND ...`, and `scripts/run_recipe.py`; what each command does is in commands/."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from . import helptext
from .commands import adapting, averaging, caching, demo, evaluating, exporting, listing, predicting, pushing, running
from .commands.common import HELP
from .errors import UserError
from .hub_recipe import is_address
from .recipe_files import list_recipes

COMMANDS = {
    "list": listing.main,
    "show": running.show,
    "run": running.main,
    "predict": predicting.main,
    "evaluate": evaluating.main,
    "demo": demo.main,
    "adapt": adapting.main,
    "average": averaging.main,
    "push": pushing.main,
    "export": exporting.main,
    "cache": caching.main,
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
        running.main(words, "run_recipe.py")

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
    if not words or words[0] in HELP:
        print(helptext.MAIN, end="")
        return
    command, rest = words[0], words[1:]
    if command == "--version":
        from . import __version__

        print(f"hf-transfer-recipes {__version__}")
    elif command in COMMANDS:
        COMMANDS[command](rest)
    elif any(word in HELP for word in rest):
        running.main(words)
    else:
        named = is_address(command) or command in list_recipes()
        hint = f"did you mean `hf-transfer run {command}`?" if named else "see `hf-transfer --help`"
        raise UserError(f"unknown command {command!r}; {hint}")


if __name__ == "__main__":
    sys.exit(main())
