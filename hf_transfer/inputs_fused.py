"""Rows that two backbones read, each in its own way."""

from collections.abc import Mapping

import numpy as np
from torch.utils.data import Dataset

from .batching import by_length, by_pixels


class FusedRows(Dataset):
    """One split, encoded for each part of a fused backbone.

    A row is `{part: that part's encoded row}`, with the label in each.

    Args:
        parts (`Mapping[str, datasets.Dataset]`): by the part's name, what [`inputs.encode`] returned for it.
    """

    def __init__(self, parts: Mapping):
        self.parts = dict(parts)

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __getitem__(self, row: int) -> dict:
        return {name: rows[row] for name, rows in self.parts.items()}

    def set_epoch(self, epoch: int) -> None:
        """Tell the parts whose images are augmented."""
        for rows in self.parts.values():
            if hasattr(rows, "set_epoch"):
                rows.set_epoch(epoch)

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens in each row, of all parts together; `None` where none reads texts."""
        counts = [np.asarray(rows["length"][:]) for rows in self.parts.values() if "length" in rows.column_names]
        return sum(counts) if counts else None

    def batches(self, device: str) -> list[list[int]]:
        """Group the rows for a forward pass without gradients: images fill a batch sooner than texts do."""
        images = [rows for rows in self.parts.values() if "length" not in rows.column_names]
        if not len(self):
            return []
        if not images:
            return by_length(self.lengths.tolist(), device)
        pixels = sum(int(np.prod(rows[0]["pixel_values"].shape[-2:])) for rows in images)
        return by_pixels(len(self), pixels, device)


class FusedCollator:
    """Makes a batch of [`FusedRows`]: each part's inputs under its name, as in `source_input_ids`, and `labels`.

    Args:
        parts (`Mapping[str, Callable]`): each part's own collator.
    """

    def __init__(self, parts: Mapping):
        self.parts = dict(parts)

    def __call__(self, rows: list[dict]) -> dict:
        batch = {}
        for name, collate in self.parts.items():
            own = collate([row[name] for row in rows])
            labels = own.pop("labels", None)
            batch |= {f"{name}_{key}": value for key, value in own.items()}
        return batch if labels is None else {**batch, "labels": labels}
