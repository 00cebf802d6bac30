"""Reaching a checkpoint, and saying plainly when it cannot be reached."""

from contextlib import contextmanager
from pathlib import Path

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
def reach(checkpoint: str, what: str):
    """Turn transformers' many ways of not finding a file into one line that says what to do."""
    try:
        with quiet():
            yield
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        if "trust_remote_code" in str(error):
            raise UserError(
                f"checkpoint {checkpoint!r} brings its own code; read it, then pass --trust_remote_code to run it"
            ) from error
        if Path(checkpoint).is_dir():
            raise UserError(f"folder {checkpoint!r} does not hold {what} that transformers can load") from error
        raise UserError(
            f"checkpoint {checkpoint!r} is neither a folder on this disk nor reachable on the Hub ({what} was asked "
            "for); check the name and the network, or pass --backbone.checkpoint FOLDER, or --demo"
        ) from error


def load_config(checkpoint: str, revision: str | None, trust_remote_code: bool):
    """Load a checkpoint's configuration, or raise a `UserError` that says what to do."""
    from transformers import AutoConfig

    with reach(checkpoint, "a configuration"):
        return AutoConfig.from_pretrained(checkpoint, revision=revision, trust_remote_code=trust_remote_code)


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
