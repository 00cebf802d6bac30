"""The output folder: refused when it holds something, and changed only by a run that came to its end."""

import json
import os
import shutil
from pathlib import Path

from .errors import UserError

CHECKPOINTS = "checkpoints"  # resume state; removed on success, never pushed
STAGING = ".unfinished"
PARTS = "parts.json"  # in the checkpoints of a pipeline: the folders of its runs
FINISHED = "finished.json"  # in the folder of a stage that came to its end


def choose(name: str) -> Path:
    """Return the first free folder `runs/NAME`, `runs/NAME-2`, ..."""
    base = Path("runs") / name
    number, folder = 1, base
    while folder.exists() and any(folder.iterdir()):
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def claim(folder: Path, resume: bool, overwrite: bool) -> None:
    """Check that a run may write to `folder`, and make it.

    Raises:
        `UserError`: it is a file, or not empty and neither `resume` nor `overwrite` is given, or `resume` finds
            nothing to go on from.
    """
    if resume and overwrite:
        raise UserError("--resume continues a run and --overwrite replaces one; give only one of them")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir {folder} is a file; a folder is needed")
    held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if resume:
        if "results.json" in held and CHECKPOINTS not in held:
            raise UserError(f"--resume: the run in {folder} is finished; use --overwrite to do it again")
        if CHECKPOINTS not in held:
            raise UserError(f"--resume: {folder} holds no {CHECKPOINTS}/ to go on from; leave --resume out to start")
    elif held and not overwrite:
        hint = "--resume continues it, " if CHECKPOINTS in held else ""
        raise UserError(f"--output_dir {folder} is not empty (it holds {held[0]}); {hint}--overwrite replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a file stands in the way, or nothing may be written there
        raise UserError(f"--output_dir {folder} cannot be made: {error.strerror}") from error
    if overwrite and (folder / CHECKPOINTS).exists():
        # Kept until the new run has succeeded: what is there now must survive a failure.
        os.replace(folder / CHECKPOINTS, _free(folder / f"{CHECKPOINTS}.replaced"))


def give_back(folder: Path) -> None:
    """Undo what `claim` moved away; for a run that failed before its first checkpoint."""
    for moved in sorted(folder.glob(f"{CHECKPOINTS}.replaced*")):
        if not (folder / CHECKPOINTS).exists():
            os.replace(moved, folder / CHECKPOINTS)


def staging(folder: Path) -> Path:
    """Return an empty folder inside `folder` to build the result in."""
    path = folder / STAGING
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def publish(folder: Path, keep_checkpoints: bool = False) -> None:
    """Move a complete result from staging into its place and remove what an earlier run left there.

    Only files that a run wrote are removed, by the list in its `results.json`: `--overwrite` on a folder that holds
    other things must not cost them.
    """
    new = folder / STAGING
    names = set(files_of(new))
    old = written_by_a_run(folder)
    for name in sorted(names):
        (folder / name).parent.mkdir(exist_ok=True)
        os.replace(new / name, folder / name)
    shutil.rmtree(new)
    for name in old - names:
        (folder / name).unlink(missing_ok=True)
    for parent in {(folder / name).parent for name in old - names} - {folder}:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()
    for path in folder.glob(f"{CHECKPOINTS}*"):
        if path.is_dir() and not (keep_checkpoints and path.name == CHECKPOINTS):
            shutil.rmtree(path)


def files_of(folder: Path) -> list[str]:
    """Return the names of all files of a result, sorted; those of a part of a fused model lie in a folder of its name,
    as `source/tokenizer.json`."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def is_inside(name: str) -> bool:
    """Whether a name from a file means a file of the same folder, or of a folder in it."""
    path = Path(name)
    return path.as_posix() == name and not path.is_absolute() and ".." not in path.parts and 1 <= len(path.parts) <= 2


def written_by_a_run(folder: Path) -> set[str]:
    """Return the names of the files that the finished run in `folder` wrote, by its own account."""
    path = folder / "results.json"
    if not path.exists():
        return set()
    try:
        names = json.loads(path.read_text(encoding="utf-8")).get("files", [])
    except (ValueError, AttributeError):
        return set()  # not a result of ours, so nothing of ours to remove
    return {name for name in names if is_inside(name)}


def newest_checkpoint(place: Path) -> Path | None:
    """Return the newest complete checkpoint of a training that keeps them in `place`, if it has one."""
    found = [p for p in place.glob("checkpoint-*") if (p / "trainer_state.json").exists()]
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def resumable(folder: Path) -> bool:
    """Say whether a run left something in its output folder to go on from."""
    places = [folder / CHECKPOINTS, *(folder / CHECKPOINTS).glob("stage-*")]
    if any(newest_checkpoint(place) or (place / FINISHED).exists() for place in places):
        return True
    parts = folder / CHECKPOINTS / PARTS
    names = json.loads(parts.read_text(encoding="utf-8"))["parts"] if parts.exists() else ()
    return any(resumable(folder / name) for name in names)


def tidy(folder: Path) -> None:
    """Leave nothing half done behind; a checkpoint to go on from stays."""
    shutil.rmtree(folder / STAGING, ignore_errors=True)
    if not resumable(folder):
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        give_back(folder)


def _free(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
