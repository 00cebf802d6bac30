"""The module behind [`BSS`]."""

import torch

from .terms import Seen, Term


class BSSTerm(Term):
    """The k smallest squared singular values of the batch's features, summed.

    Args:
        k (`int`): how many.
    """

    name = "bss"
    reads_features = True

    def __init__(self, k: int):
        super().__init__()
        self.k = k

    def forward(self, seen: Seen) -> torch.Tensor:
        return spectral_tail(seen.features, self.k) * seen.counted


def spectral_tail(features: torch.Tensor, k: int = 1) -> torch.Tensor:
    """Return the sum of the `k` smallest squared singular values of a matrix of shape `(batch, width)`."""
    return torch.linalg.svdvals(features.float())[-k:].pow(2).sum()
