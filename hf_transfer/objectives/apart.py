"""Models that are read and never trained."""

from contextlib import nullcontext

import torch
from torch import nn


class Apart:
    """A frozen model beside the one in training: a teacher, or what the model was before.

    It is no `nn.Module`, so a term that keeps it does not make it a part of what is moved, wrapped and saved.

    Args:
        model (`nn.Module`): from now on in evaluation mode and without gradients.
        precision (`torch.dtype`): what it computes in, by autocast: that of the training.
    """

    def __init__(self, model: nn.Module, precision: torch.dtype = torch.float32):
        self.model, self.precision = model.eval().requires_grad_(False), precision
        self.device: torch.device | None = None

    def __call__(self, device: torch.device, **inputs):
        """Return the model's outputs; it moves to `device` when it is first asked."""
        if self.device != device:
            self.model.to(device)
            self.device = device
        plain = self.precision == torch.float32
        with torch.no_grad(), nullcontext() if plain else torch.autocast(device.type, dtype=self.precision):
            return self.model(**inputs)
