"""Packed linear layers compute what they did before, and only where they can."""

import pytest
import torch
from torch import nn

from hf_transfer.cpu.packed import PackedLinear, pack_linear

able = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="this CPU multiplies no bfloat16 in oneDNN",
)


class Own(nn.Linear):
    pass


@able
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (5, 24), (3, 7, 24), (700, 24), (0, 24)])
@torch.inference_mode()
def test_products_are_those_of_the_layer(bias, shape):
    torch.manual_seed(0)
    layer = nn.Linear(24, 40, bias=bias).bfloat16()
    inputs = torch.randn(shape).bfloat16()
    expected = layer(inputs)
    assert pack_linear(layer) == 1 and type(layer) is PackedLinear
    assert layer.packed.layout is torch._mkldnn
    torch.testing.assert_close(layer(inputs), expected, atol=2e-2, rtol=2e-2)
    # No further from float32 than the layer itself.
    exact = nn.functional.linear(inputs.float(), layer.weight.float(), None if not bias else layer.bias.float())
    if len(exact):
        assert (layer(inputs) - exact).abs().max() <= (expected - exact).abs().max() + 4e-3


@able
def test_others_are_left_alone():
    model = nn.ModuleDict(
        {"single": nn.Linear(4, 4), "own": Own(4, 4).bfloat16(), "conv": nn.Conv2d(3, 3, 1).bfloat16()}
    )
    assert pack_linear(model) == 0
    assert [type(module) for module in model.values()] == [nn.Linear, Own, nn.Conv2d]


@able
def test_a_gradient_still_passes():
    layer = nn.Linear(4, 4).bfloat16().requires_grad_(False)
    pack_linear(layer)
    inputs = torch.ones(2, 4, dtype=torch.bfloat16, requires_grad=True)
    layer(inputs).sum().backward()
    torch.testing.assert_close(inputs.grad, layer.weight.sum(0).expand(2, 4))
