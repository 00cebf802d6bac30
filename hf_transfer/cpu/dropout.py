"""Dropout that draws its random factors sooner on a CPU."""

import torch
from torch import nn

from .noise import drawable, dropout_noise


class FastDropout(nn.Dropout):
    """`nn.Dropout` in distribution; its factors are those of [`dropout_noise`] where that can draw them."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.training or self.inplace or not drawable(self.p, inputs):
            return super().forward(inputs)
        return inputs * dropout_noise(inputs.shape, self.p, inputs.dtype)
