"""Packed convolutions compute what they did before, activation and "same" padding included, and only where they can
do so."""

import copy
import itertools

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import nn

from hf_transfer.cpu.convolutions import ACTIVATIONS, Fused, PackedConvolution, pack_convolutions
from hf_transfer.features.folding import fold_batch_norms

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")

SIZES = [(32, 32), (33, 33), (31, 34), (7, 5)]


def packed(layers: nn.Sequential) -> tuple[nn.Module, int]:
    layers = layers.eval().requires_grad_(False)
    model = copy.deepcopy(layers)
    return model, pack_convolutions(model)


def pictures(channels: int, size, rows: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    return (3 * torch.randn(rows, channels, *size)).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layer", [nn.Conv2d, Conv2dSame])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 6])
@torch.inference_mode()
def test_sums_are_those_of_the_layer(groups, stride, kernel, layer):
    torch.manual_seed(0)
    own = {"padding": kernel // 2} if layer is nn.Conv2d else {}
    layers = nn.Sequential(layer(6, 12, kernel, stride, groups=groups, **own))
    model, count = packed(layers)
    assert count == 1 and type(model[0]) is PackedConvolution
    for size, rows in itertools.product(SIZES, (2, 1, 5)):
        pixels = pictures(6, size, rows)
        torch.testing.assert_close(model(pixels), layers(pixels), atol=1e-5, rtol=1e-5)
    if layer is nn.Conv2d:  # a weight that was laid out for another shape takes half as long again
        assert len(model[0].packed) == 3 * len(SIZES)


@pytest.mark.parametrize("dilation", [1, 2])
@torch.inference_mode()
def test_dilated_and_uneven_kernels(dilation):
    layers = nn.Sequential(Conv2dSame(4, 4, (3, 5), (2, 1), dilation=dilation, groups=4, bias=False))
    model, _ = packed(layers)
    for size in SIZES:  # another padding each, for one layer
        torch.testing.assert_close(model(pictures(4, size)), layers(pictures(4, size)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, nn.Tanh], ids=lambda kind: kind.__name__)
@torch.inference_mode()
def test_the_activation_of_a_folded_norm_is_computed_along(activation):
    layers = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), Fused(nn.Identity(), activation()), nn.Conv2d(8, 2, 1))
    model, count = packed(layers)
    assert count == 2
    assert type(model[1]) is (Fused if activation is nn.Tanh else nn.Identity)
    pixels = pictures(4, (9, 9))
    torch.testing.assert_close(model(pixels), layers(pixels), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_an_activation_that_stands_elsewhere_stays_there():
    # Only what `Fused` holds is known to be computed right behind: a name's neighbour need not be.
    layers = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Dropout(), Fused(nn.ReLU6()))
    model, _ = packed(layers)
    assert [type(child) for child in model] == [PackedConvolution, nn.ReLU, PackedConvolution, nn.Dropout, Fused]
    pixels = pictures(4, (5, 5))
    torch.testing.assert_close(model(pixels), layers(pixels), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "tf_mobilenetv3_small_100"])
@pytest.mark.parametrize("size", [64, 75])
@torch.inference_mode()
def test_whole_nets(name, size):
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0).eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training: none of them is the identity
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.bias.normal_(0, 0.3)
    expected = net(pictures(3, (size, size)))
    fold_batch_norms(net)
    net = net.to(memory_format=torch.channels_last)
    assert pack_convolutions(net) > 15
    assert not any(type(module) in (nn.Conv2d, Conv2dSame) for module in outside_of_packed(net))
    torch.testing.assert_close(net(pictures(3, (size, size))), expected, atol=1e-4 * expected.abs().max(), rtol=0)


def outside_of_packed(module: nn.Module):
    for child in module.children():
        yield child
        if type(child) is not PackedConvolution:
            yield from outside_of_packed(child)


def test_others_are_left_alone():
    class Own(nn.Conv2d):
        pass

    layers = [
        Own(3, 3, 1), nn.Conv2d(3, 3, 3, padding="same"), nn.Conv2d(3, 3, 3, padding_mode="reflect"),
        nn.Conv2d(3, 3, 1).double(), nn.Conv1d(3, 3, 1), nn.ConvTranspose2d(3, 3, 1),
    ]  # fmt: skip
    model = nn.ModuleList(layers).requires_grad_(False)
    assert pack_convolutions(model) == 0
    assert pack_convolutions(nn.Sequential(nn.Conv2d(3, 3, 1))) == 0  # it learns
    assert all(one is other for one, other in zip(model, layers, strict=True))
