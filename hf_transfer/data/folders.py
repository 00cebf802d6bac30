"""Image folders: `photos/<class>/*.jpg`, or `photos/train/<class>/*.jpg` beside validation/ and test/."""

import os
from pathlib import Path

from ..errors import UserError

_SPLIT_NAMES = ("train", "validation", "valid", "val", "dev", "test")


def split_folders(path: Path) -> dict[str, Path]:
    """The folders of a data set that comes in splits, by name; empty when `path` holds class folders."""
    folders = {entry.name: entry for entry in _visible(path) if entry.is_dir()}
    if "train" not in folders:
        return {}
    others = sorted(set(folders) - set(_SPLIT_NAMES))
    if others:
        raise UserError(f"{path}: holds train/ and also {others[0]}/; beside train/ allowed: validation/ and test/")
    if sum(name in folders for name in _SPLIT_NAMES[1:5]) > 1:
        raise UserError(f"{path}: holds {', '.join(f'{n}/' for n in folders)}; keep one validation folder")
    return folders


def class_folder(path: Path, drop_broken: bool) -> tuple[list[str], list[str], tuple[str, ...], int]:
    """The files in the class folders of `path`, the class of each, the classes, and how many files were left out.

    Sorted by name, not in the order of the disk, so that every machine sees the same rows. Whether a file is an image
    is not judged by its name: that is for the decoder.
    """
    entries = _visible(path)
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        raise UserError(f"{path}: holds no class folders; expected {path}/<class>/*.jpg")
    loose = [entry for entry in entries if not entry.is_dir()]
    if loose and not drop_broken:
        raise UserError(
            f"{loose[0]}: lies beside the class folders{_more(loose)}; expected {path}/<class>/*.jpg, "
            "--data.drop_broken leaves such files out"
        )
    files, labels = [], []
    for folder in folders:
        inside = files_below(folder)
        if not inside:
            raise UserError(f"{folder}: the class folder is empty")
        files.extend(str(file) for file in inside)
        labels.extend(folder.name for _ in inside)
    return files, labels, tuple(folder.name for folder in folders), len(loose)


def files_below(path: Path) -> list[Path]:
    """All files under `path`, deeper folders included, sorted; names with a leading dot are skipped."""
    found = []
    for parent, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.extend(Path(parent, name) for name in files if not name.startswith("."))
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _visible(path: Path) -> list[Path]:
    return sorted((entry for entry in path.iterdir() if not entry.name.startswith(".")), key=lambda e: e.name)


def _more(paths: list[Path]) -> str:
    return f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
