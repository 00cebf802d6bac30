"""Layer fusion by its formulas: the scalar mix, the mean, the mix of stages, and what may be pooled before it."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from hf_transfer.hub.fusion_transfer import LayerMean, ScalarMix, StageMix, mix_and_pool, pool_first
from hf_transfer.hub.heads_transfer import Features, Pooling

GOLDEN = json.loads((Path(__file__).resolve().parents[1] / "golden/transfer_methods.json").read_text())["scalar_mix"]


def mix_of(scalars, gamma=1.0) -> ScalarMix:
    mix = ScalarMix(len(scalars))
    with torch.no_grad():
        mix.scalars.copy_(torch.tensor(scalars))
        mix.offset.fill_(gamma - 1)
    return mix


def test_the_scalar_mix_is_the_papers():
    layers_first = torch.tensor(GOLDEN["hidden_states"], dtype=torch.float32)
    mix = mix_of(GOLDEN["scalars"], GOLDEN["gamma"])
    torch.testing.assert_close(mix.weights, torch.tensor(GOLDEN["weights"]), rtol=1e-6, atol=0)
    expected = torch.tensor(GOLDEN["mixed"])
    torch.testing.assert_close(mix(layers_first.movedim(0, -2)), expected, rtol=1e-6, atol=1e-7)
    twice = mix_of(GOLDEN["scalars"], 2 * GOLDEN["gamma"])
    torch.testing.assert_close(twice(layers_first.movedim(0, -2)), 2 * expected, rtol=1e-6, atol=1e-7)


def test_it_starts_as_the_mean_and_is_pulled_back_to_it():
    torch.manual_seed(0)
    states = torch.randn(2, 5, 4, 3)
    torch.testing.assert_close(ScalarMix(4)(states), LayerMean()(states))
    mix = mix_of([2.0, -1.0, 0.5, 0.0], 3.0)
    optimizer = torch.optim.SGD(mix.parameters(), lr=0.1, weight_decay=1.0)
    for _ in range(200):
        for parameter in mix.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    torch.testing.assert_close(mix(states), LayerMean()(states))


def test_stages_are_brought_to_one_width_and_weighed():
    torch.manual_seed(0)
    mix = StageMix([2, 5, 3], mix_of([0.3, -0.2, 1.0], 1.5))
    parts = [torch.randn(4, width) for width in (2, 5, 3)]
    weights = 1.5 * torch.tensor([0.3, -0.2, 1.0]).softmax(0)
    expected = sum(
        w * (part @ layer.weight.T + layer.bias)
        for w, part, layer in zip(weights, parts, mix.projections, strict=True)
    )
    torch.testing.assert_close(mix(torch.cat(parts, -1)), expected)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("mode", ["cls", "mean", "max", "attention"])
def test_pooling_before_the_mix_is_pooling_after_it(mode, normalize):
    """Pooled first only where that is the same; else the layers wait for the mix."""
    torch.manual_seed(0)
    tokens, mask = torch.randn(3, 4, 5, 6), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    pooling, mix = Pooling(mode, 6, normalize), mix_of([0.5, 0.1, -1.0, 0.0, 2.0], 1.3)
    first = pool_first(Features(tokens, mask), pooling, mix)
    assert (first.tokens is None) == (mode in ("cls", "mean"))
    torch.testing.assert_close(mix_and_pool(first, pooling, mix).pooled, pooling(mix(tokens), mask))


def test_pooling_that_learns_waits_for_the_training():
    features = Features(torch.randn(3, 4, 6), torch.ones(3, 4, dtype=torch.long))
    assert pool_first(features, Pooling("attention", 6, False), None) is features
    assert pool_first(features, Pooling("mean", 6, False), None).tokens is None


def test_the_mix_learns_which_layer_says_it():
    """Labels stand in layer 2 alone: its weight becomes the largest by far."""
    torch.manual_seed(0)
    states, labels = torch.randn(256, 4, 8), torch.randint(0, 2, (256,))
    states[:, 2, 0] += 4.0 * labels - 2.0
    mix, layer = ScalarMix(4), nn.Linear(8, 2)
    optimizer = torch.optim.Adam([*mix.parameters(), *layer.parameters()], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(mix(states)), labels).backward()
        optimizer.step()
    assert mix.weights.argmax() == 2 and mix.weights[2] > 0.7
