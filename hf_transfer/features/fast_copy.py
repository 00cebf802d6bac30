"""A copy of a model that computes the same features sooner: other precision, weights laid out for it beforehand."""

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..cpu.packed import pack_linear

# What folding may move a feature by, relative to the largest one, in float32. It reorders a product and a sum.
TOLERANCE = 1e-3


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
        twin = _folded(twin, sample, read).to(memory_format=torch.channels_last)
    twin = twin.to(dtype)
    pack_linear(twin)
    if "pixel_values" in sample:
        from ..cpu.convolutions import pack_convolutions  # it brings timm, which a run on texts need not wait for

        pack_convolutions(twin)
    return twin


def _folded(model: nn.Module, sample: dict[str, torch.Tensor], read: Callable) -> nn.Module:
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    candidate = copy.deepcopy(model)
    fold_batch_norms(candidate)
    expected, found = read(model, sample), read(candidate, sample)
    same = all(
        (found[name] - value).abs().max() <= TOLERANCE * value.abs().max()
        for name, value in expected.items()
        if name != "mask" and value is not None
    )
    return candidate if same else model


def fold_batch_norms(module: nn.Module) -> None:
    """Fold each BatchNorm in evaluation mode into the convolution named just before it, in place.

    Names follow the order of computation in timm's nets, but nothing promises it: compare outputs afterwards.
    """
    from ..cpu.convolutions import Fused

    convolution = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            convolution = (name, child)
            continue
        if isinstance(child, nn.BatchNorm2d) and convolution and convolution[1].out_channels == child.num_features:
            setattr(module, convolution[0], fuse_conv_bn_eval(convolution[1], child))
            # timm's BatchNorm brings its activation (and its dropout) along.
            rest = [part for part in (getattr(child, "drop", None), getattr(child, "act", None)) if part is not None]
            setattr(module, name, Fused(*rest))
        else:
            fold_batch_norms(child)
        convolution = None
