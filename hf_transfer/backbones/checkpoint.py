"""Reaching a checkpoint, and saying plainly when it cannot be reached."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError


@contextmanager
def quiet():
    """Keep transformers' bars and load reports off the screen: what matters in them is checked and told by us."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def reach(checkpoint: str, what: str, code: bool = True):
    """Turn transformers' many ways of not finding a file into one line that says what to do.

    Args:
        code (`bool`): whether code that the checkpoint brings may be of use.
    """
    from safetensors import SafetensorError

    try:
        with quiet():
            yield
    except ImportError as error:  # a package that the checkpoint's own code needs, or a net newer than this timm
        reason = " ".join(str(error).split())
        raise UserError(f"checkpoint {checkpoint!r} cannot be loaded: {reason}") from error
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, UserError):
            raise
        local = Path(checkpoint).is_dir()
        if "trust_remote_code" in str(error):
            if not code:
                raise UserError(
                    f"checkpoint {checkpoint!r} is defined by its own code, and a vision recipe needs a timm net, "
                    "such as timm/resnet18.a1_in1k"
                ) from error
            pinned = "" if local else " --backbone.revision COMMIT"
            raise UserError(
                f"checkpoint {checkpoint!r} brings its own code; read it, then pass --trust_remote_code{pinned} to "
                "run it"
            ) from error
        if local:
            raise UserError(f"folder {checkpoint!r} does not hold {what} that transformers can load") from error
        raise UserError(
            f"checkpoint {checkpoint!r} is neither a folder on this disk nor reachable on the Hub ({what} was asked "
            "for); check the name and the network, or pass --backbone.checkpoint FOLDER, or --demo"
        ) from error


def read_json(checkpoint: str, name: str, revision: str | None, certain: bool = False) -> Any:
    """Read a JSON file of a checkpoint, `None` when it has none of that name.

    Args:
        certain (`bool`): a Hub that does not answer is an error; otherwise what is not on this disk is not there.

    Raises:
        `UserError`: the file is not JSON, or nobody knows whether there is one.
    """
    from transformers.utils import cached_file

    with reach(checkpoint, name):
        path = cached_file(
            checkpoint,
            name,
            revision=revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=certain,
        )
    if path is None:
        return None
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{name} of checkpoint {checkpoint!r} is not JSON: {error}") from error


def check_loaded(checkpoint: str, info: dict, expected_missing: tuple[str, ...]) -> None:
    """Refuse a checkpoint that does not bring every backbone weight.

    Args:
        info (`dict`): what `from_pretrained(..., output_loading_info=True)` returned beside the model.
        expected_missing (`tuple[str, ...]`): name prefixes that are new on purpose.

    Raises:
        `UserError`: a weight of the backbone is missing or has another shape.
    """
    wrong = [name for name in info["missing_keys"] if not name.startswith(expected_missing)]
    wrong += [entry[0] for entry in info["mismatched_keys"] if not entry[0].startswith(expected_missing)]
    if wrong:
        raise UserError(
            f"checkpoint {checkpoint!r} lacks {len(wrong)} of the backbone's weights, the first is "
            f"{sorted(wrong)[0]!r}; it is incomplete or of another architecture"
        )
