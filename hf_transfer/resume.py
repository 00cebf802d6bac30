"""Going on with a stopped run: only with the settings it was started with."""

import json
import os
import shutil
from pathlib import Path

from .errors import UserError
from .folders import FINISHED, newest_checkpoint
from .jsonfile import write_json

WEIGHTS = "weights.safetensors"


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


def finish(place: Path, model, told: dict, state) -> None:
    """Keep what a stage left, for a run that is stopped in a later one; its own checkpoints have done their work.

    Args:
        place (`Path`): the stage's folder.
        model (`nn.Module`): parameters and buffers are kept.
        told (`dict`): what is to be told of the stage.
        state (`accelerate.PartialState`): the main process writes.
    """
    from safetensors.torch import save_model

    if state.is_main_process:
        place.mkdir(parents=True, exist_ok=True)
        partial = place / ".weights.partial"
        save_model(model, str(partial))
        os.replace(partial, place / WEIGHTS)
        write_json(place / FINISHED, told)
        while (checkpoint := newest_checkpoint(place)) is not None:
            shutil.rmtree(checkpoint)
    state.wait_for_everyone()


def finished(place: Path) -> dict | None:
    """Return what is to be told of a finished stage, or None for one that did not come to its end."""
    path = place / FINISHED
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def load_finished(place: Path, model) -> None:
    """Give `model` the weights that a finished stage left."""
    from safetensors.torch import load_model

    load_model(model, str(place / WEIGHTS))
