"""Attention with dropout: the closed form, and whatever else goes to PyTorch's own."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from hf_transfer.cpu import attention as module
from hf_transfer.cpu.attention import Segment, attention
from hf_transfer.cpu.noise import dropout_noise

SHAPE = (3, 2, 7, 8)  # batch, heads, tokens, width


class Layer:
    is_causal = False


def tensors(dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(SHAPE).to(dtype).requires_grad_() for _ in range(3)]


def padding():
    allowed = torch.arange(7) < torch.tensor([7, 4, 6])[:, None]
    return allowed[:, None, None, :].expand(3, 1, 7, 7)


def by_hand(query, key, value, mask, p, scale):
    """In float32, by autograd, with the factors that the same seed draws."""
    query, key, value = (tensor.float() for tensor in (query, key, value))
    scores = query @ key.transpose(2, 3) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    torch.manual_seed(5)
    noise = dropout_noise(torch.Size((6, 7, 7)), p, torch.float32).view(3, 2, 7, 7)
    return ((scores.softmax(-1) * noise) @ value).transpose(1, 2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("mask", [None, padding()], ids=["whole", "padded"])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_outputs_and_gradients_are_those_of_the_formula(scale, mask, dtype, tolerance):
    inputs, weights = tensors(dtype), torch.randn(3, 7, 2, 8)
    torch.manual_seed(5)
    outputs, shares = attention(Layer(), *inputs, mask, dropout=0.3, scaling=scale)
    assert outputs.dtype == dtype and shares is None
    gradients = torch.autograd.grad((outputs.float() * weights).sum(), inputs)
    expected = by_hand(*inputs, mask, 0.3, scale or 8**-0.5)
    reference = torch.autograd.grad((expected * weights).sum(), inputs)
    for one, other in zip((outputs, *gradients), (expected, *reference), strict=True):
        torch.testing.assert_close(one.float(), other.float(), atol=tolerance * other.abs().max().item(), rtol=0)


def test_segments_are_what_each_of_them_is_alone():
    """Two of a length without padding, three of another with it, end to end; one call draws as the two calls would."""
    torch.manual_seed(0)
    padded = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]).bool()[:, None, None]
    segments = [Segment(2, 5, None), Segment(3, 4, padded)]
    inputs = [torch.randn(1, 22, 2, 8).transpose(1, 2).requires_grad_() for _ in range(3)]
    weights = torch.randn(1, 22, 2, 8)
    torch.manual_seed(5)
    outputs, _ = attention(Layer(), *inputs, None, dropout=0.3, segments=segments)
    gradients = torch.autograd.grad((outputs * weights).sum(), inputs)
    torch.manual_seed(5)
    alone = []
    for segment, start in zip(segments, (0, 10), strict=True):
        own = [tensor[0, :, start : start + segment.rows * segment.length] for tensor in inputs]
        own = [tensor.unflatten(1, (segment.rows, segment.length)).transpose(0, 1) for tensor in own]
        alone.append(attention(Layer(), *own, segment.mask, dropout=0.3)[0].flatten(0, 1))
    expected = torch.cat(alone)[None]
    reference = torch.autograd.grad((expected * weights).sum(), inputs)
    for one, other in zip((outputs, *gradients), (expected, *reference), strict=True):
        assert one.shape == other.shape and torch.equal(one, other)


def test_keys_may_be_of_another_sequence_and_values_of_another_width():
    torch.manual_seed(0)
    shapes = ((3, 2, 4, 8), (3, 2, 7, 8), (3, 2, 7, 5))
    inputs = [torch.randn(shape).requires_grad_() for shape in shapes]
    torch.manual_seed(5)
    outputs, _ = attention(Layer(), *inputs, None, dropout=0.3)
    gradients = torch.autograd.grad(outputs.square().sum(), inputs)
    torch.manual_seed(5)
    noise = dropout_noise(torch.Size((6, 4, 7)), 0.3, torch.float32).view(3, 2, 4, 7)
    query, key, value = inputs
    expected = (((query @ key.mT * 8**-0.5).softmax(-1) * noise) @ value).transpose(1, 2)
    reference = torch.autograd.grad(expected.square().sum(), inputs)
    for one, other in zip((outputs, *gradients), (expected, *reference), strict=True):
        torch.testing.assert_close(one, other)


def test_what_stood_in_memory_before_is_not_read():
    inputs, found = tensors(), []
    for fill in (False, True):  # empty tensors hold NaN then
        torch.use_deterministic_algorithms(fill)
        try:
            torch.manual_seed(5)
            outputs, _ = attention(Layer(), *inputs, padding(), dropout=0.3)
            found.append((outputs, *torch.autograd.grad(outputs.square().sum(), inputs)))
        finally:
            torch.use_deterministic_algorithms(False)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_on_average_it_is_attention_without_dropout():
    query, key, value = (tensor.detach() for tensor in tensors())
    torch.manual_seed(1)
    mean = sum(attention(Layer(), query, key, value, padding(), dropout=0.2)[0] for _ in range(2000)) / 2000
    expected = scaled_dot_product_attention(query, key, value, padding()).transpose(1, 2)
    torch.testing.assert_close(mean, expected, atol=0.07, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_without_noise_to_draw_it_is_the_stock_function(dropout):
    query, key, value = (tensor.detach() for tensor in tensors())
    outputs, _ = attention(Layer(), query, key, value, padding(), dropout=dropout)
    expected = scaled_dot_product_attention(query, key, value, padding(), dropout_p=dropout).transpose(1, 2)
    assert torch.equal(outputs, expected)


def test_causal_attention_and_what_brings_more_stay_stock(monkeypatch):
    query, key, value = tensors()
    monkeypatch.setattr(module, "DropoutAttention", None)  # to reach it would be an error
    attention(Layer(), query, key, value, None, dropout=0.1, is_causal=True)
    attention(Layer(), query, key, value, None, dropout=0.1, position_bias=torch.zeros(1, 2, 7, 7))
    layer = Layer()
    layer.num_key_value_groups = 2
    attention(layer, query, key[:, :1], value[:, :1], None, dropout=0.1)
    with pytest.raises(AttributeError):
        attention(Layer(), query, key, value, None, dropout=0.1)
