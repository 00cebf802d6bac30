"""NT-Xent, the loss of SimCLR, over the images of all ranks.

Written out, because the kept library for it, pytorch-metric-learning 2.9, holds for each of the 2N anchors the
similarities of all 2N (2N - 2) negative pairs: memory grows with the cube of the batch, where one matrix of
(2N)^2 says the same.
"""

import torch
from torch import nn
from torch.nn import functional as F


class NTXentLoss(nn.Module):
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, equation 1), summed over images:

        l(i, j) = -log( exp(sim(z_i, z_j) / t) / sum over k != i of exp(sim(z_i, z_k) / t) ),

    for both orders of the two views of an image, and their mean. The sum over k runs over both views of the images of
    all ranks, and gradients reach all of them: two ranks train as one with twice the batch.

    Args:
        width (`int`): of the features.
        head (`ProjectionHead`): the projection that is trained with the backbone and thrown away.
    """

    def __init__(self, width: int, head):
        super().__init__()
        hidden = head.hidden_size or width
        self.project = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, head.size))
        self.temperature = head.temperature

    def row_weights(self, labels: torch.Tensor) -> torch.Tensor:
        """Return each image's weight, of shape `(images,)`."""
        return torch.ones(len(labels), device=labels.device)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum over this rank's images, a scalar.

        Args:
            features (`torch.Tensor` of shape `(2 * images, width)`): of the first views, then of the second ones.
            labels (`torch.Tensor` of shape `(images,)`): only counted.
        """
        first, second = F.normalize(self.project(features.float()), dim=-1).chunk(2)
        return nt_xent(first, second, self.temperature, across_ranks=self.training)


def nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float, across_ranks: bool = False) -> torch.Tensor:
    """Return the loss summed over images: of the two anchors of each, the mean.

    Args:
        first, second (`torch.Tensor` of shape `(images, size)`): the two views, of length 1.
        across_ranks (`bool`): images of other ranks count as negatives.
    """
    count, here = len(first), 0
    all_first, all_second = first, second
    if across_ranks and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        all_first, here = gather_rows(first)
        all_second, _ = gather_rows(second)
    everyone = torch.cat([all_first, all_second])
    own = torch.arange(here, here + count, device=first.device)
    own, other = torch.cat([own, own + len(all_first)]), torch.cat([own + len(all_first), own])
    scores = torch.cat([first, second]) @ everyone.T / temperature
    scores = scores.scatter(1, own[:, None], float("-inf"))  # an anchor is not compared with itself
    return F.cross_entropy(scores, other, reduction="sum") / 2


def gather_rows(rows: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return the rows of all ranks, which may have different numbers of them, and where this rank's begin.

    Gradients flow back to the rank that a row is from, from all ranks that used it.
    """
    from torch import distributed

    sizes = [None] * distributed.get_world_size()
    distributed.all_gather_object(sizes, len(rows))
    return _Gather.apply(rows, tuple(sizes)), sum(sizes[: distributed.get_rank()])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context, rows, sizes):
        context.sizes = sizes
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(context, gradient):
        gradient = gradient.contiguous().clone()
        torch.distributed.all_reduce(gradient)
        return gradient.split(context.sizes)[torch.distributed.get_rank()], None
