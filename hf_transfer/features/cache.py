"""Where recordings lie: a folder each under the user's cache. When they grow over a limit, the least recently used go.

`HF_TRANSFER_CACHE` names another folder, `HF_TRANSFER_CACHE_GB` another limit. Light on purpose: `hf-transfer cache`
imports nothing else.
"""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import UserError

DEFAULT_LIMIT_GB = 20.0
ABOUT = "recording.json"
PARTIAL = ".partial"


@dataclass(frozen=True)
class Entry:
    """One recording.

    Args:
        folder (`Path`): where it lies; its name is the key, with `.partial` while it is being made.
        size (`int`): bytes on disk.
        used (`float`): when it was last read, in seconds since 1970.
        about (`dict`): what was recorded: checkpoint, rows, what is kept, dtype.
    """

    folder: Path
    size: int
    used: float
    about: dict

    @property
    def finished(self) -> bool:
        return not self.folder.name.endswith(PARTIAL)


def root() -> Path:
    """Return the folder of all recordings; it need not exist yet."""
    asked = os.environ.get("HF_TRANSFER_CACHE")
    if asked:
        return Path(asked).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "hf-transfer-recipes" / "features"


def limit_bytes() -> int:
    """Return how large all recordings may be together.

    Raises:
        `UserError`: `HF_TRANSFER_CACHE_GB` is not a number of gigabytes.
    """
    text = os.environ.get("HF_TRANSFER_CACHE_GB", "")
    try:
        gigabytes = float(text) if text else DEFAULT_LIMIT_GB
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise UserError(f"HF_TRANSFER_CACHE_GB is {text!r}; allowed: a number of gigabytes, 0 to record nothing")
    return int(gigabytes * 1e9)


def entries() -> list[Entry]:
    """List what is there, the most recently used first."""
    found = []
    for folder in root().glob("*/"):
        about = folder / ABOUT
        if not about.is_file():
            continue
        try:
            found.append(Entry(folder, _size(folder), about.stat().st_mtime, json.loads(about.read_text("utf-8"))))
        except FileNotFoundError:  # another run has just cleared or finished it
            continue
    return sorted(found, key=lambda entry: -entry.used)


def touch(folder: Path) -> None:
    """Note that a recording is in use."""
    os.utime(folder / ABOUT, (time.time(), time.time()))


def clear() -> tuple[int, int, int]:
    """Remove every recording that no run is making; return how many went, their bytes, and how many stayed."""
    found = entries()
    gone = [entry for entry in found if not in_the_making(entry)]
    for entry in gone:
        _remove(entry.folder)
    return len(gone), sum(entry.size for entry in gone), len(found) - len(gone)


def remembered_check(key: str) -> float | None:
    """Return what [`remember_check`] wrote, or `None`."""
    path = root() / ".checks" / key
    return float(path.read_text()) if path.is_file() else None


def remember_check(key: str, value: float) -> None:
    """Keep the result of a check of a backbone, so that the next run need not repeat it."""
    path = root() / ".checks" / key
    if limit_bytes() == 0:  # nothing at all is to be kept
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{key}.{os.getpid()}")
    partial.write_text(repr(value))
    os.replace(partial, path)


def lock_of(folder: Path) -> FileLock:
    """Return the lock that is held while `folder` is recorded; a killed process holds none."""
    return FileLock(root() / ".locks" / f"{folder.name.removesuffix(PARTIAL)}.lock")


def in_the_making(entry: Entry) -> bool:
    """Whether a run is recording this one now."""
    if entry.finished:
        return False
    lock = lock_of(entry.folder)
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def make_room(needed: int, keep: Path) -> bool:
    """Remove the least recently used recordings until `needed` bytes fit under the limit.

    Args:
        needed (`int`): bytes to come.
        keep (`Path`): never removed: the recording that is being made.

    Returns:
        `bool`: whether they fit, and leave the disk half of its free space.
    """
    limit = limit_bytes()
    if needed > limit:
        return False
    others = [entry for entry in entries() if entry.folder != keep and not in_the_making(entry)]
    total = sum(entry.size for entry in others)
    while others and total + needed > limit:
        oldest = others.pop()
        _remove(oldest.folder)
        total -= oldest.size
    keep.parent.mkdir(parents=True, exist_ok=True)
    return needed <= shutil.disk_usage(keep.parent).free // 2


def _remove(folder: Path) -> None:
    # Renamed first: a reader sees a recording whole or not at all. One that has it open keeps its pages.
    gone = folder.with_name(f".{folder.name}.{os.getpid()}.gone")
    try:
        os.replace(folder, gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
