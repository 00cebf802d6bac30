"""A frozen backbone runs once: its outputs go to disk, and every epoch of the head reads them from there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from .bars import bar
from .batching import by_length, in_order

# Above this a run does not record but runs the frozen backbone in every epoch: slower, never out of disk.
LIMIT_BYTES = 8 * 2**30
IMAGES_PER_BATCH = 64


class FeatureSet(Dataset):
    """Recorded backbone outputs with labels, read from memory-mapped files.

    Row `i` gives `label` and, as recorded, `pooled` of shape `(width,)` and `tokens` of shape `(length, width)`.

    Args:
        folder (`Path`): holds `pooled.npy` of shape `(rows, width)`, or `tokens.npy` of shape `(all tokens, width)`
            with `ends.npy`, where each row's tokens end; or both.
        labels (`np.ndarray`): one per row.
    """

    def __init__(self, folder: Path, labels: np.ndarray):
        self.labels = labels
        self.arrays = {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
        ends = self.arrays.pop("ends", None)
        self.ends = None if ends is None else np.array(ends)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens in each row, for grouping; `None` when only pooled vectors are kept."""
        return None if self.ends is None else np.diff(self.ends, prepend=0)

    def __getitem__(self, row: int) -> dict:
        result = {"label": self.labels[row]}
        if "pooled" in self.arrays:
            result["pooled"] = np.array(self.arrays["pooled"][row])
        if "tokens" in self.arrays:
            start = self.ends[row - 1] if row else 0
            result["tokens"] = np.array(self.arrays["tokens"][start : self.ends[row]])
        return result


def collate_features(rows: list[dict]) -> dict[str, torch.Tensor]:
    """Stack recorded rows into a batch; token states are padded on the right and come with a `mask`."""
    batch = {"labels": torch.as_tensor(np.stack([row["label"] for row in rows]))}
    if "pooled" in rows[0]:
        batch["pooled"] = torch.from_numpy(np.stack([row["pooled"] for row in rows]))
    if "tokens" in rows[0]:
        states = [torch.from_numpy(row["tokens"]) for row in rows]
        lengths = torch.tensor([len(row) for row in states])
        batch["tokens"] = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
        batch["mask"] = (torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).long()
    return batch


def record_features(
    model, replay, dataset, collate: Callable[[list[dict]], dict], folder: Path, description: str
) -> FeatureSet | None:
    """Run the backbone of `model` over `dataset` and write what `replay` keeps under `folder`.

    Args:
        dataset (`datasets.Dataset`): encoded rows: `label`, and for texts `length`.
        collate: rows to a batch of tensors.
        folder (`Path`): written whole under another name, then renamed: what stands there is complete.

    Returns:
        `FeatureSet`, or `None` when it would be larger than `LIMIT_BYTES` or than half of what the disk has left.
    """
    if not folder.exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        if not _record(model.eval(), replay, dataset, collate, partial, description):
            shutil.rmtree(partial)
            return None
        os.replace(partial, folder)
    labels = np.asarray(dataset.with_format(None)["label"])
    return FeatureSet(folder, labels.astype(np.float32) if labels.dtype.kind == "f" else labels)


def _record(model, replay, dataset, collate, folder: Path, description: str) -> bool:
    device = next(model.parameters()).device
    lengths = np.asarray(dataset["length"]) if "length" in dataset.column_names else None
    batches = list(in_order(len(dataset), IMAGES_PER_BATCH)) if lengths is None else by_length(lengths.tolist())
    files = None
    with bar(len(dataset), description, "row") as progress:
        for rows in batches:
            batch = collate([dataset[row] for row in rows])
            inputs = {key: value.to(device) for key, value in batch.items() if key != "labels"}
            outputs = {
                key: value.float().cpu().numpy()
                for key, value in replay.record(model, inputs).items()
                if (key in replay.keeps)
            }
            if files is None:
                if lengths is None and "tokens" in outputs:  # every image has as many positions as the first
                    lengths = np.full(len(dataset), outputs["tokens"].shape[1])
                files = _Files(folder, outputs, len(dataset), lengths)
                if not files.fit():
                    return False
            files.write(rows, outputs)
            progress.update(len(rows))
    files.close()
    return True


class _Files:
    """The memory-mapped arrays of one split, sized from its first batch."""

    def __init__(self, folder: Path, outputs: dict[str, np.ndarray], count: int, lengths: np.ndarray | None):
        self.folder = folder
        self.ends = np.cumsum(lengths) if "tokens" in outputs else None
        rows = {"pooled": count, "tokens": 0 if self.ends is None else int(self.ends[-1])}
        self.shapes = {key: (rows[key], value.shape[-1]) for key, value in outputs.items()}
        self.arrays: dict[str, np.ndarray] = {}

    def fit(self) -> bool:
        """Whether the arrays stay under the limit and leave the disk half of its free space."""
        needed = sum(4 * rows * width for rows, width in self.shapes.values())
        return needed <= min(LIMIT_BYTES, shutil.disk_usage(self.folder).free // 2)

    def write(self, rows: list[int], outputs: dict[str, np.ndarray]) -> None:
        if not self.arrays:
            for key, shape in self.shapes.items():
                self.arrays[key] = np.lib.format.open_memmap(self.folder / f"{key}.npy", "w+", np.float32, shape)
            if self.ends is not None:
                np.save(self.folder / "ends.npy", self.ends)
        if "pooled" in outputs:
            self.arrays["pooled"][rows] = outputs["pooled"]
        for position, row in enumerate(rows if "tokens" in outputs else ()):
            start = self.ends[row - 1] if row else 0
            self.arrays["tokens"][start : self.ends[row]] = outputs["tokens"][position, : self.ends[row] - start]

    def close(self) -> None:
        for array in self.arrays.values():
            array.flush()
