"""A copy of a model that computes the same features sooner: other precision, weights laid out for it beforehand."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from ..cpu.packed import pack_linear


def fast_copy(model, dtype: torch.dtype, sample: dict[str, torch.Tensor], read: Callable) -> nn.Module:
    """Copy `model` for extraction, in evaluation mode.

    BatchNorm is folded into convolutions, which lie channels last. On a CPU convolutions are packed, and so are linear
    layers in bfloat16.

    Args:
        dtype (`torch.dtype`): of the copy's weights.
        sample (`dict[str, torch.Tensor]`): a small float32 batch of its inputs; folding is kept only where it gives
            the same features for them.
        read: model and inputs to a dict of features.
    """
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    if "pixel_values" in sample:
        from .folding import folded  # it brings timm, which a run on texts need not wait for

        twin = folded(twin, sample, read).to(memory_format=torch.channels_last)
    twin = twin.to(dtype)
    pack_linear(twin)
    if "pixel_values" in sample:
        from ..cpu.convolutions import pack_convolutions

        pack_convolutions(twin)
    return twin
