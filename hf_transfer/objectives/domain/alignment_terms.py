"""The modules behind [`CORAL`] and [`MMD`]."""

import torch

from ..terms import Seen, Term
from .both import both


class CORALTerm(Term):
    """Deep CORAL of the batch's features."""

    name = "coral"
    reads_features = True

    def forward(self, seen: Seen) -> torch.Tensor:
        source, target = both(seen.features, seen.domains)
        if min(len(source), len(target)) < 2:  # one row has no covariance
            return seen.features.sum() * 0.0
        return coral_distance(source, target) * seen.counted


class MMDTerm(Term):
    """Squared maximum mean discrepancy of the batch's features.

    Args:
        alphas (`Sequence[float]`), unbiased (`bool`): see [`MMD`].
    """

    name = "mmd"
    reads_features = True

    def __init__(self, alphas, unbiased: bool):
        super().__init__()
        self.alphas, self.unbiased = alphas, unbiased

    def forward(self, seen: Seen) -> torch.Tensor:
        source, target = both(seen.features, seen.domains)
        if min(len(source), len(target)) < 2:
            return seen.features.sum() * 0.0
        with torch.no_grad():
            everything = torch.cat([source, target])
            squares = torch.pdist(everything).pow(2)
            scale = squares.median().clamp(min=1e-12)
        variances = [alpha * scale for alpha in self.alphas]
        return mmd2(source, target, variances, self.unbiased) * seen.counted


def coral_distance(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return |C_s - C_t|_F^2 / (4 D^2) of features of shape `(rows, D)` (Sun & Saenko 2016, equation 1)."""
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.pow(2).sum() / (4 * source.shape[1] ** 2)


def mmd2(source: torch.Tensor, target: torch.Tensor, variances, unbiased: bool = True) -> torch.Tensor:
    """Return the squared maximum mean discrepancy (Gretton et al. 2012).

    Args:
        source (`torch.Tensor` of shape `(m, width)`), target (`torch.Tensor` of shape `(n, width)`).
        variances (`Sequence[float]`): sigma^2 of each Gaussian kernel exp(-d^2 / (2 sigma^2)); kernels are added.
        unbiased (`bool`): leave the diagonals out (equation 3); else the V-statistic (equation 5).
    """
    within_source = kernel_sum(source, source, variances)
    within_target = kernel_sum(target, target, variances)
    between = kernel_sum(source, target, variances).mean()
    if not unbiased:
        return within_source.mean() + within_target.mean() - 2 * between
    m, n = len(source), len(target)
    own = (within_source.sum() - within_source.trace()) / (m * (m - 1))
    others = (within_target.sum() - within_target.trace()) / (n * (n - 1))
    return own + others - 2 * between


def kernel_sum(left: torch.Tensor, right: torch.Tensor, variances) -> torch.Tensor:
    """Return the sum of Gaussian kernels of every row with every row."""
    squares = (left.unsqueeze(1) - right.unsqueeze(0)).pow(2).sum(-1)
    return sum(torch.exp(-squares / (2 * variance)) for variance in variances)
