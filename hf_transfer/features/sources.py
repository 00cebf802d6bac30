"""What an extraction reads: encoded texts, or images, whose decoded and resized bytes are kept as a recording too."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ..batching import by_length, by_pixels, in_order
from .extraction import Job, Ranks, record
from .key import tokens_digest

IMAGES_AT_ONCE = 64


class Texts:
    """Encoded texts, padded batch by batch.

    Args:
        rows (`datasets.Dataset`): what [`inputs.encode`] returned.
        collate: rows to a batch of tensors.
        device (`str`): kind of device, for the size of a batch.
    """

    unit = "tokens"

    def __init__(self, rows, collate, device: str):
        self.rows, self.collate, self.count = rows, collate, len(rows)
        self.lengths, self.device = np.asarray(rows["length"][:]), device
        self.batches = self.batched()
        self.identity = {"rows": tokens_digest(rows)}

    def batched(self, budget: int | None = None) -> list[list[int]]:
        """Return the row numbers of each batch of so many tokens."""
        return by_length(self.lengths.tolist(), self.device, budget)

    def inputs(self, numbers: list[int]) -> dict[str, torch.Tensor]:
        """Return the backbone's inputs for these rows."""
        columns = self.rows[numbers]  # in one piece: row by row takes four times as long
        batch = self.collate([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
        return {name: value for name, value in batch.items() if name != "labels"}


class Images:
    """Images, decoded and resized by as many threads as there are cores.

    The next net that reads these images at this size finds their bytes and opens no file.

    Args:
        backbone (`ImageBackbone`): how they are resized and normalised.
        processor (`TimmWrapperImageProcessor`): the transform itself.
        rows (`datasets.Dataset`): what [`inputs.encode`] returned.
        content (`str`): hash of the images' own bytes, in order.
        device (`str`): kind of device, for the size of a batch.
        ranks (`Ranks`): the processes that share the work.
        name (`str`): for people.
    """

    unit, lengths = "pixels", None

    def __init__(self, backbone, processor, rows, content: str, device: str, ranks: Ranks, name: str):
        self.backbone, self.processor, self.count = backbone, processor, len(rows)
        self.images = rows.with_format(None).select_columns(["image"])
        self.pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // ranks.count))
        _, self.height, self.width = self._transformed(0).shape
        self.device = device
        self.batches = self.batched()
        transform = str(processor.val_transforms)
        self.identity = {"rows": content, "transform": transform, "in_chans": backbone.in_chans}
        self.pixels = self._kept_bytes(name, ranks) if backbone.keeps_bytes(processor) else None

    def batched(self, budget: int | None = None) -> list[list[int]]:
        """Return the row numbers of each batch of so many pixels."""
        return by_pixels(self.count, self.height * self.width, self.device, budget)

    def inputs(self, numbers: list[int]) -> dict[str, torch.Tensor]:
        """Return the net's inputs for these rows, channels last in memory."""
        if self.pixels is not None:
            values = self.backbone.normalise(torch.from_numpy(self.pixels[numbers]), self.processor)
        else:
            values = torch.stack(list(self.pool.map(self._transformed, numbers)))
        return {"pixel_values": values.contiguous(memory_format=torch.channels_last)}

    def _transformed(self, number: int) -> torch.Tensor:
        return self.backbone.preprocess({"image": [self.images[number]["image"]]}, self.processor)["pixel_values"][0]

    def _resized(self, number: int) -> np.ndarray:
        return self.backbone.resize(self.images[number]["image"], self.processor)

    def _kept_bytes(self, name: str, ranks: Ranks) -> np.ndarray | None:
        job = Job(
            name=f"resize, {name}",
            identity={"keeps": ["pixels"], **self.identity, "transform": self.backbone.resizing(self.processor)},
            about={"keeps": ["pixels"], "part": name, "dtype": "uint8", "size": list(self._transformed(0).shape[1:])},
            batches=in_order(self.count, IMAGES_AT_ONCE),
            compute=lambda numbers: {
                "pixels": torch.from_numpy(np.stack(list(self.pool.map(self._resized, numbers))))
            },
            rows=self.count,
        )
        folder = record(job, ranks)
        return None if folder is None else np.load(folder / "pixels.npy", mmap_mode="r")
