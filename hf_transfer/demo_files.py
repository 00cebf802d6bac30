"""Where the embedded data come from and where they are written: installed packages, and the user's cache."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from .errors import UserError


def package(name: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = find_spec(name)
    if spec is None:
        raise UserError(f"--demo needs the package {name!r}: pip install 'hf-transfer-recipes[demo]'")
    return Path(spec.submodule_search_locations[0])


def cache() -> Path:
    """Return the folder of the user's cache that the embedded data are written into."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf-transfer-recipes" / "demo"


def made_once(name: str, write: Callable[[Path], None]) -> Path:
    """Return a folder in the user's cache, written by `write` the first time; a rename makes it appear whole."""
    folder = cache() / name
    if not folder.exists():
        partial = cache() / f"{name}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        try:
            os.replace(partial, folder)
        except OSError:
            if not folder.exists():
                raise
            shutil.rmtree(partial)  # another rank was first
    return folder
