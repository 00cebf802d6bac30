"""The files of one recording: memory-mapped arrays, filled batch by batch, that get their name when whole.

While it is made the folder is called KEY.partial and `done.npy` says which batches are in it, so that a run that was
killed loses at most the batch it was at, and the next one goes on from there.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .cache import ABOUT, PARTIAL

RAGGED = ("tokens",)  # one entry per token, unpadded; everything else is one per row


@dataclass(frozen=True)
class Array:
    """One array of a recording.

    Args:
        dtype (`str`): `"float32"`, `"bfloat16"` (kept as 16-bit integers: NumPy has no such type) or `"uint8"`.
        shape (`tuple[int, ...]`): `(rows, ...)`, or `(all tokens, ...)` for what is ragged.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def stored(self) -> np.dtype:
        return np.dtype("int16" if self.dtype == "bfloat16" else self.dtype)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.stored.itemsize


def plan_arrays(sample: dict[str, torch.Tensor], rows: int, tokens: int) -> dict[str, Array]:
    """Size the arrays from one batch of outputs, for so many rows and tokens in all."""
    return {
        name: Array(
            str(value.dtype).removeprefix("torch."),
            (tokens, *value.shape[2:]) if name in RAGGED else (rows, *value.shape[1:]),
        )
        for name, value in sample.items()
    }


class Recording:
    """A recording under way.

    Args:
        folder (`Path`): where it will stand when whole.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.partial = folder.with_name(folder.name + PARTIAL)

    def create(self, arrays: dict[str, Array], ends: np.ndarray | None, batches: int, about: dict) -> None:
        """Make the files, unless a killed run has left them: then what it did is kept.

        Args:
            arrays (`dict[str, Array]`): what is kept, by name.
            ends (`np.ndarray`, *optional*): where each row's tokens end.
            batches (`int`): how many will be written.
            about (`dict`): what it is, for people.
        """
        if _boot_of(self.partial) == _boot() and len(np.load(self.partial / "done.npy")) == batches:
            return
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        for name, array in arrays.items():
            np.lib.format.open_memmap(self.partial / f"{name}.npy", "w+", array.stored, array.shape)
        if ends is not None:
            np.save(self.partial / "ends.npy", ends)
        np.save(self.partial / "done.npy", np.zeros(batches, dtype=np.uint8))
        stored = {name: {"dtype": array.dtype, "shape": list(array.shape)} for name, array in arrays.items()}
        content = {**about, "arrays": stored, "boot": _boot()}
        (self.partial / ABOUT).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")  # last: it is usable

    def open(self) -> None:
        """Map the files for writing."""
        about = json.loads((self.partial / ABOUT).read_text(encoding="utf-8"))
        self.arrays = {name: np.load(self.partial / f"{name}.npy", mmap_mode="r+") for name in about["arrays"]}
        ends = self.partial / "ends.npy"
        self.ends = np.load(ends) if ends.exists() else None
        self.done = np.load(self.partial / "done.npy", mmap_mode="r+")

    def write(self, number: int, rows: list[int], outputs: dict[str, torch.Tensor]) -> None:
        """Put the outputs of batch `number` in their places."""
        for name, array in self.arrays.items():
            value = outputs[name].contiguous()
            value = (value.view(torch.int16) if value.dtype == torch.bfloat16 else value).cpu().numpy()
            if name not in RAGGED:
                array[rows] = value
                continue
            for position, row in enumerate(rows):
                start = self.ends[row - 1] if row else 0
                array[start : self.ends[row]] = value[position, : self.ends[row] - start]
        self.done[number] = 1  # after the bytes: a kill in between repeats the batch

    def finish(self) -> None:
        """Give a whole recording its name.

        Raises:
            `RuntimeError`: a batch is missing; another process has not done its share.
        """
        missing = int((self.done == 0).sum())
        if missing:
            raise RuntimeError(f"{self.partial} lacks {missing} of {len(self.done)} batches")
        for array in self.arrays.values():
            array.flush()  # to the disk: under its final name it must survive a power cut
        (self.partial / "done.npy").unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.replace(self.partial, self.folder)


def _boot() -> str:
    """Name this start of the machine: pages of a partial recording outlive a killed process, not a power cut."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        return ""


def _boot_of(partial: Path) -> str | None:
    try:
        about = json.loads((partial / ABOUT).read_text(encoding="utf-8"))
        np.load(partial / "done.npy", mmap_mode="r")
        return about["boot"]
    except (OSError, ValueError, KeyError):
        return None
