"""What `hf-transfer cache` prints."""

import time

from ..results import align, last_name
from . import cache


def listing() -> str:
    """Return a table of the recordings, the most recently used first."""
    entries = cache.entries()
    total = sum(entry.size for entry in entries)
    head = f"{cache.root()}: {_size(total)} of at most {_size(cache.limit_bytes())}"
    if not entries:
        return f"{head}; nothing is recorded"
    rows = [["recorded from", "what", "part", "rows", "dtype", "size", "last used"]]
    for entry in entries:
        about = entry.about
        layers = f" of {about['layers']} layers" if about.get("layers") else ""
        what = "+".join(about.get("keeps", [])) + layers + ("" if entry.finished else ", unfinished")
        source = last_name(about["checkpoint"]) if about.get("checkpoint") else "images"
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        count = f"{about.get('rows', 0):,}"
        rows.append([source, what, about.get("part", ""), count, about.get("dtype", ""), _size(entry.size), used])
    return f"{head}\n\n{align(rows)}"


def cleared() -> str:
    """Remove every recording and return the line that says so."""
    count, size, busy = cache.clear()
    kept = f"; {busy} kept, being made by a run" if busy else ""
    return f"{count} recordings removed from {cache.root()}, {_size(size)}{kept}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
