"""Recorded backbone outputs as a data set for a head."""

import copy
import json
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from .cache import ABOUT
from .recording import RAGGED

RESIDENT_BYTES = 2**30  # pooled vectors up to this size are kept in memory; larger ones are read from the disk's map


class FeatureSet(Dataset):
    """Recorded outputs with labels, read from memory-mapped files.

    A batch of rows gives `labels` and, as recorded, `pooled` of shape `(batch, width)` or `tokens` of shape
    `(batch, longest, width)`, padded with zeros on the right, with `mask` of shape `(batch, longest)`; all float32.

    Args:
        folder (`Path`): a finished recording.
        labels (`np.ndarray`): one per row.
    """

    widths = None  # of one backbone

    def __init__(self, folder: Path, labels: np.ndarray):
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self.folder, self.labels = folder, torch.from_numpy(np.ascontiguousarray(labels))
        self.dtypes = {name: array["dtype"] for name, array in about["arrays"].items()}
        self.arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in self.dtypes}
        for name, array in self.arrays.items():
            if name not in RAGGED and array.nbytes <= RESIDENT_BYTES:
                self.arrays[name] = np.array(array)
        self.ends = np.load(folder / "ends.npy") if (folder / "ends.npy").exists() else None

    def __len__(self) -> int:
        return len(self.labels)

    def vectors(self) -> np.ndarray:
        """Return one vector for each row, of shape `(rows, width)`, float32: what was pooled, else the mean over the
        tokens (and over layers that are kept apart)."""
        if "pooled" in self.arrays:
            return self._tensor("pooled", self.arrays["pooled"]).reshape(len(self), -1).numpy()
        starts = np.concatenate([[0], self.ends[:-1]])
        found = []
        for start, end in zip(starts, self.ends, strict=True):
            tokens = self._tensor("tokens", self.arrays["tokens"][start:end])
            found.append(tokens.mean(0) if tokens.ndim == 2 else tokens.mean((0, 1)))
        return torch.stack(found).numpy()

    def with_vectors(self, vectors: np.ndarray) -> "FeatureSet":
        """Return the same rows with other pooled vectors, of shape `(rows, width)`, float32."""
        changed = copy.copy(self)
        changed.arrays = {**self.arrays, "pooled": vectors}
        changed.dtypes = {**self.dtypes, "pooled": "float32"}
        return changed

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens in each row, for grouping; `None` when only vectors are kept."""
        return None if self.ends is None else np.diff(self.ends, prepend=0)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([row])

    def __getitems__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """Return one whole batch: a loader asks for it in one piece, not row by row."""
        batch = {"labels": self.labels[rows]}
        for name in self.arrays:
            if name in RAGGED:
                batch[name], batch["mask"] = self._padded(name, rows)
            else:
                batch[name] = self._tensor(name, self.arrays[name][rows])
        return batch

    def _padded(self, name: str, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        starts = [int(self.ends[row - 1]) if row else 0 for row in rows]
        lengths = [int(self.ends[row]) - start for row, start in zip(rows, starts, strict=True)]
        array = self.arrays[name]
        padded = np.zeros((len(rows), max(lengths), *array.shape[1:]), dtype=array.dtype)
        for position, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            padded[position, :length] = array[start : start + length]
        mask = torch.arange(padded.shape[1]) < torch.tensor(lengths).unsqueeze(1)
        return self._tensor(name, padded), mask.long()

    def _tensor(self, name: str, values: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return (tensor.view(torch.bfloat16) if self.dtypes[name] == "bfloat16" else tensor).float()


def collate_features(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pass on what [`FeatureSet`] has put together already."""
    return batch
