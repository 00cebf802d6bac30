"""Shuffled rows of like length in one batch, in an order that depends on seed and epoch alone."""

from collections.abc import Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class LengthGrouped(Sampler):
    """Group rows of like length within shuffled blocks of 50 batches.

    The stock sampler draws from the global generator: dropout moves that one differently on every CPU rank, so ranks
    would disagree on the order and a resumed epoch would see another one. This one reseeds per epoch.

    Args:
        lengths (`Sequence[int]`): tokens in each row.
        batch_size (`int`): rows of one optimizer step on one rank.
        seed (`int`): the run's seed.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed, self.epoch = list(lengths), batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))
