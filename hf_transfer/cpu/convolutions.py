"""Convolutions that stand still on a CPU: weights laid out beforehand, the activation computed along, and no picture
copied only to be padded.

PyTorch's own compiler calls the same two operators of oneDNN for a model whose weights are frozen.
"""

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same_arg
from torch import nn
from torch.nn import functional as F

# By class, what oneDNN calls the activation, and its numbers.
ACTIVATIONS = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
}
NOTHING = ("none", [])


class Fused(nn.Sequential):
    """What is left of a BatchNorm with activation behind the convolution that it was folded into."""


class PackedConvolution(nn.Module):
    """A convolution without a gradient, on a CPU, and the activation behind it.

    TensorFlow's "same" padding of a strided convolution puts one row more below and on the right than above and on the
    left, which oneDNN is not told through PyTorch; timm copies the picture for it. Where each channel is convolved by
    itself, a kernel with a row and a column of zeros in front and symmetric padding give the same sums for less.

    Args:
        convolution (`nn.Conv2d` or `timm.layers.Conv2dSame`): without a gradient.
        activation (`tuple`): a value of `ACTIVATIONS`, or `NOTHING`.
    """

    def __init__(self, convolution: nn.Conv2d, activation: tuple):
        super().__init__()
        self.convolution, self.activation = convolution, activation
        self.packed: dict[tuple, torch.Tensor] = {}  # weights, by what they were laid out for

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        layer = self.convolution
        padding, zeros = list(layer.padding), (0, 0)
        if isinstance(layer, Conv2dSame):
            around = pad_same_arg(pixels.shape[-2:], layer.kernel_size, layer.stride, layer.dilation)
            left, right, above, below = around
            if layer.groups == layer.in_channels and layer.dilation == (1, 1):
                padding, zeros = [below, right], (below - above, right - left)
            elif (left, above) == (right, below):
                padding = [above, left]
            else:
                pixels = F.pad(pixels, around)
        # oneDNN chooses another layout for each.
        key = (*pixels.shape, *padding, *zeros, torch.get_num_threads())
        if key not in self.packed:
            self.packed[key] = self._laid_out(pixels, padding, zeros)
        how = (padding, layer.stride, layer.dilation, layer.groups, *self.activation, "")
        return torch.ops.mkldnn._convolution_pointwise(pixels, self.packed[key], layer.bias, *how)

    def _laid_out(self, pixels: torch.Tensor, padding: list[int], zeros: tuple[int, int]) -> torch.Tensor:
        layer = self.convolution
        above, left = zeros
        weight = F.pad(layer.weight, (left, 0, above, 0)).contiguous(memory_format=torch.channels_last)
        return torch.ops.mkldnn._reorder_convolution_weight(
            weight, padding, layer.stride, layer.dilation, layer.groups, pixels.shape
        )


def pack_convolutions(module: nn.Module) -> int:
    """Turn the convolutions of a model that stands still into packed ones, in place, with what [`Fused`] holds behind
    them; on a CPU, in float32 and where its oneDNN can, bfloat16. Layers of another class are left alone.

    Returns:
        `int`: how many were packed.
    """
    if not torch.backends.mkldnn.is_available():
        return 0
    return _pack(module)


def _pack(module: nn.Module) -> int:
    count, before = 0, None
    for name, child in list(module.named_children()):
        if isinstance(child, Fused) and before is not None:
            layers = [layer for layer in child if type(layer) is not nn.Identity]
            if len(layers) == 1 and type(layers[0]) in ACTIVATIONS:
                before.activation = ACTIVATIONS[type(layers[0])]
                setattr(module, name, nn.Identity())
        before = None
        if _packable(child):
            before = PackedConvolution(child, NOTHING)
            setattr(module, name, before)
            count += 1
        else:
            count += _pack(child)
    return count


def _packable(module: nn.Module) -> bool:
    if type(module) not in (nn.Conv2d, Conv2dSame) or module.padding_mode != "zeros":
        return False
    weight = module.weight
    if isinstance(module.padding, str) or weight.device.type != "cpu" or weight.requires_grad:
        return False
    bfloat16 = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32 or bfloat16
