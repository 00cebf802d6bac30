"""BatchNorm folded into the convolution before it, where that is what the net computes."""

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..cpu.convolutions import Fused

# What folding may move a feature by, relative to the largest one, in float32. It reorders a product and a sum.
TOLERANCE = 1e-3


def folded(model: nn.Module, sample: dict[str, torch.Tensor], read: Callable) -> nn.Module:
    """Return a folded copy of `model`, or itself where that would compute something else.

    Args:
        sample (`dict[str, torch.Tensor]`): a small batch of its inputs.
        read: model and inputs to a dict of features.
    """
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
