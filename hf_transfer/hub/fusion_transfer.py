"""Layer fusion: several hidden layers of one backbone become one, which pooling and head read.

What is fixed and what is learnt stand apart here, because all that is fixed is recorded once where the backbone is
frozen: `pool_first` goes as far as nothing is learnt, `mix_and_pool` does the rest, on a recording or in one go.
"""

from collections.abc import Sequence

import torch
from torch import nn

from .heads_transfer import Features, Pooling


class ScalarMix(nn.Module):
    """gamma * sum_j softmax(s)_j h_j over layers j (Peters et al. 2018, equation 1), s and gamma learnt.

    It starts as the plain mean. gamma is kept as 1 + `offset`, so that weight decay, L2-SP and every other pull
    towards zero pull towards that mean, and not towards features of size zero.

    Args:
        layers (`int`): how many there are.
    """

    def __init__(self, layers: int):
        super().__init__()
        self.scalars = nn.Parameter(torch.zeros(layers))
        self.offset = nn.Parameter(torch.zeros(1))

    @property
    def weights(self) -> torch.Tensor:
        """softmax(s): positive, with sum 1, in float32."""
        return self.scalars.float().softmax(0)

    @property
    def gamma(self) -> torch.Tensor:
        return 1 + self.offset.float()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Mix `states` of shape `(..., layers, width)` to `(..., width)`."""
        factors = (self.gamma * self.weights).to(states.dtype)
        return (states * factors.unsqueeze(-1)).sum(-2)


class LayerMean(nn.Module):
    """The mean over layers: nothing is learnt."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states.mean(-2)


class StageMix(nn.Module):
    """The mix of a convolutional net's stages, whose maps differ in width and size.

    Each stage's map comes pooled over its positions; a linear layer of its own, learnt, brings it to the common width;
    the mean or the scalar mix of those is the vector that a head reads.

    Args:
        widths (`Sequence[int]`): channels of each stage; the last one's is the common width.
        mix (`nn.Module`): [`ScalarMix`] or [`LayerMean`].
    """

    def __init__(self, widths: Sequence[int], mix: nn.Module):
        super().__init__()
        self.widths, self.mix = list(widths), mix
        self.projections = nn.ModuleList(nn.Linear(width, widths[-1]) for width in widths)

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Mix `pooled` of shape `(batch, all channels)`, the stages side by side, to `(batch, width)`."""
        parts = pooled.split(self.widths, dim=-1)
        same = [project(part) for project, part in zip(self.projections, parts, strict=True)]
        return self.mix(torch.stack(same, dim=-2))


MIXES = {"mean": lambda layers: LayerMean(), "scalar_mix": ScalarMix}


def pool_first(features: Features, pooling: Pooling | None, mix: nn.Module | None) -> Features:
    """Go as far as nothing is learnt.

    Pooling that learns nothing is done here, and so it is before a mix where that is the same and cheaper: a weighted
    sum of means is the mean of the weighted sum. The maximum of a sum is not the sum of maxima: that waits.

    Args:
        features (`Features`): with a mix to come, tokens of shape `(batch, length, layers, width)` or pooled vectors
            of shape `(batch, layers, width)`.
    """
    if pooling is None or pooling.learned or (mix is not None and not pooling.linear):
        return features
    pooled = pooling(features.tokens, features.mask) if mix is None else pooling.pool(features.tokens, features.mask)
    return Features(pooled=pooled)


def mix_and_pool(features: Features, pooling: Pooling | None, mix: nn.Module | None) -> Features:
    """Do what [`pool_first`] has left: the mix, and pooling."""
    tokens, mask, pooled = features
    if mix is not None:
        tokens = None if tokens is None else mix(tokens)
        pooled = None if pooled is None else mix(pooled)
        if pooled is not None and pooling is not None:
            pooled = pooling.scaled(pooled)
    if pooled is None and pooling is not None:
        pooled = pooling(tokens, mask)
    return Features(tokens, mask, pooled)
