"""The random factors of dropout: their distribution, and that a seed repeats them."""

import math

import pytest
import torch
from torch import nn

from hf_transfer.cpu.dropout import FastDropout
from hf_transfer.cpu.noise import drawable, dropout_noise

COUNT = 2**20


def draw(p, dtype, shape=(COUNT,), seed=0):
    torch.manual_seed(seed)
    return dropout_noise(torch.Size(shape), p, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_the_rate_and_the_factor_are_those_of_dropout(p, dtype):
    noise = draw(p, dtype)
    factor = torch.tensor(1 / (1 - p)).to(dtype)
    assert set(noise.unique().tolist()) == {0.0, noise.max().item()}
    torch.testing.assert_close(noise.max(), factor, rtol=2e-4 if dtype == torch.float32 else 0, atol=0)
    dropped = (noise == 0).double().mean().item()
    assert dropped == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / COUNT) + 2**-17)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 384])
def test_elements_are_drawn_apart(lag):
    """Four elements share one 64-bit draw: they and their neighbours must not be correlated."""
    kept = (draw(0.5, torch.float32) > 0).double() - 0.5
    correlation = 4 * (kept[:-lag] * kept[lag:]).mean().item()
    assert abs(correlation) < 5 / math.sqrt(COUNT)


def test_a_seed_repeats_the_draws_and_the_generator_moves_on():
    first = draw(0.1, torch.float32, (3, 5, 7))
    assert first.shape == (3, 5, 7) and first.is_contiguous()
    second = dropout_noise(first.shape, 0.1, torch.float32)
    assert not torch.equal(first, second)
    assert torch.equal(first, draw(0.1, torch.float32, (3, 5, 7)))
    assert torch.equal(first > 0, draw(0.1, torch.bfloat16, (3, 5, 7)) > 0)
    torch.manual_seed(0)
    dropout_noise(first.shape, 0.1, torch.float32)
    state = torch.get_rng_state()
    torch.manual_seed(9)
    torch.set_rng_state(state)
    assert torch.equal(second, dropout_noise(first.shape, 0.1, torch.float32))


def test_what_cannot_be_drawn():
    ones = torch.ones(2)
    assert drawable(0.1, ones) and drawable(2**-16, ones)
    assert not drawable(0.0, ones) and not drawable(2**-18, ones) and not drawable(1.0, ones)
    assert not drawable(0.1, ones.double()) and not drawable(0.1, ones.to("meta"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_passes_where_the_value_does(dtype):
    ones = torch.ones(64, 32, dtype=dtype, requires_grad=True)
    outputs = FastDropout(0.3)(ones)
    outputs.sum().backward()
    assert outputs.dtype == dtype and 0 < (outputs == 0).float().mean() < 1
    assert torch.equal(ones.grad, outputs)


@pytest.mark.parametrize(
    ("p", "training", "dtype"),
    [
        (0.1, False, torch.float32),
        (0.0, True, torch.float32),
        (1.0, True, torch.float32),
        (0.3, True, torch.float64),
    ],
)
def test_everything_else_is_the_stock_layer(p, training, dtype):
    inputs = torch.randn(50, dtype=dtype)
    found = []
    for layer in (FastDropout(p), nn.Dropout(p)):
        torch.manual_seed(1)
        found.append(layer.train(training)(inputs))
    assert torch.equal(*found)
