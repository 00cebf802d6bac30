"""Going on with a stopped run: only with the settings it was started with."""

import json
from pathlib import Path

from .errors import UserError
from .saving import write_json


def remember(checkpoints: Path, resolved: dict, resume: bool) -> None:
    """Write down what this run is, or check that it is the one that is resumed.

    Args:
        checkpoints (`Path`): where the run keeps its resume state.
        resolved (`dict`): the recipe with every override in it.

    Raises:
        `UserError`: a setting differs from the stopped run's; the first one is named with both values.
    """
    path = checkpoints / "run.json"
    now = json.loads(json.dumps(resolved))
    if resume and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = _differences(before, now)
        if changed:
            raise UserError(f"--resume: {changed[0]}; resume with the same settings, or start anew with --overwrite")
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_json(path, now)


def _differences(before, now, path: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        return [
            line for key in keys for line in _differences(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{path} was {before!r} and is now {now!r}"]
