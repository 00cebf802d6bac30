"""Data sets on the Hugging Face Hub, split by split."""

import re

import datasets
from huggingface_hub.errors import HfHubHTTPError

from ..errors import UserError

# An unknown config, a loading script (no longer run), files that cannot be parsed.
_CANNOT_LOAD = (ValueError, RuntimeError, OSError, datasets.exceptions.DatasetsError)
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.+-]+)?")


def looks_like_hub_id(name: str) -> bool:
    """Whether `name` could be `name`, `owner/name` or either with `:config` behind it."""
    return _HUB_ID.fullmatch(name) is not None


def load_hub(name: str) -> datasets.DatasetDict:
    """All splits of the Hub data set `name` or `name:config`, memory-mapped from the local cache.

    Raises:
        `UserError`: the Hub is out of reach, or has no such data set or config.
    """
    path, _, config = name.partition(":")
    try:
        return datasets.load_dataset(path, config or None)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise UserError(
            f"data set {path!r} is neither a file or folder here nor a data set on the Hub that you can read; "
            f"pass --data.train with a local file, or --demo ({_first_line(error)})"
        ) from error
    except (ConnectionError, HfHubHTTPError, TimeoutError) as error:
        raise UserError(
            f"data set {path!r} is not on this machine and the Hub cannot be reached; "
            f"pass --data.train with a local file, or --demo ({_first_line(error)})"
        ) from error
    except _CANNOT_LOAD as error:
        raise UserError(f"data set {name!r} cannot be loaded from the Hub: {_first_line(error)}") from error


def hub_split(name: str, splits: datasets.DatasetDict, split: str) -> datasets.Dataset:
    """One split of a loaded data set, slices such as `train[:10%]` included."""
    if split in splits:
        return splits[split]
    if "[" in split or "+" in split:
        path, _, config = name.partition(":")
        try:
            return datasets.load_dataset(path, config or None, split=split)
        except ValueError as error:
            raise UserError(f"data set {name!r} has no split {split!r}: {_first_line(error)}") from error
    raise UserError(f"data set {name!r} has no split {split!r}; splits: {', '.join(splits)}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
