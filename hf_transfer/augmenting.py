"""Augmented images: by seed, epoch and row alone, so that neither ranks nor worker processes change a training."""

import random
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Dataset


@contextmanager
def own_draws(*numbers: int):
    """Let what is drawn inside follow from `numbers` alone, and nothing outside notice it.

    timm's and torchvision's transforms draw from the global generators of `random` and torch, which belong to the
    training: dropout would see other numbers, and so would the transforms in each worker process.
    """
    first, second = np.random.SeedSequence(numbers).generate_state(2)
    before = random.getstate(), torch.get_rng_state()
    try:
        random.seed(int(first))
        torch.default_generator.manual_seed(int(second))  # `torch.manual_seed` would move a GPU's generator too
        yield
    finally:
        random.setstate(before[0])
        torch.set_rng_state(before[1])


class AugmentedImages(Dataset):
    """Labelled images, decoded and augmented when they are asked for.

    Args:
        rows (`datasets.Dataset`): columns `image` and `label`.
        backbone (`ImageBackbone`), processor: say how.
        seed (`int`): of the augmentation.
    """

    column_names = ("pixel_values", "label")

    def __init__(self, rows, backbone, processor, seed: int):
        self.rows, self.backbone, self.seed = rows, backbone, seed
        self.transform = backbone.training_transform(processor)
        # In shared memory: worker processes that outlive an epoch hear of the next one.
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict:
        return self.__getitems__([row])[0]

    def __getitems__(self, numbers: list[int]) -> list[dict]:
        found = self.rows[numbers]
        images = zip(numbers, found["image"], found["label"], strict=True)
        return [{"pixel_values": self._augmented(row, image), "label": label} for row, image, label in images]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose augmentation is drawn from now on; Accelerate's loader does, at the start of each."""
        self.epoch.fill_(epoch)

    def _augmented(self, row: int, image) -> torch.Tensor:
        with own_draws(self.seed, int(self.epoch), row):
            return self.transform(self.backbone.as_channels(image))
