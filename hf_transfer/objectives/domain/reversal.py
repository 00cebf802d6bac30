"""The gradient reversal layer."""

import math

import torch


def strength(progress: float) -> float:
    """Return lambda_p = 2 / (1 + exp(-10 p)) - 1, p the share of the training that is done (Ganin et al. 2016,
    equation 14)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def reverse(features: torch.Tensor, scale: float) -> torch.Tensor:
    """Return `features` unchanged; the gradient that comes back through them is multiplied by `-scale`."""
    return _Reversal.apply(features, scale)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, scale):
        ctx.scale = scale
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.scale * gradient, None
