"""The arithmetic of averages: means of weights, BatchNorm's statistics, and what is better."""

import numpy as np
import pytest
import torch
from torch import nn

from hf_transfer.batch_norm import disagreeing_layers, renew_statistics
from hf_transfer.card.markdown import table as markdown_table
from hf_transfer.card.paragraph import with_paragraph
from hf_transfer.ensemble.averaging import Mean, interpolate
from hf_transfer.ranking import rank

ACCURACY = "single_label_classification"


# ---------------------------------------------------------------------------------------------------------------------
# The arithmetic


@pytest.fixture
def states():
    generator = torch.Generator().manual_seed(0)

    def one(count: int) -> dict[str, torch.Tensor]:
        return {
            "weight": torch.randn(50, 20, generator=generator),
            "half": torch.randn(30, generator=generator).bfloat16(),
            "num_batches_tracked": torch.tensor(count),
        }

    return [one(count) for count in (3, 8, 20)]


def test_interpolation_is_the_straight_line(states):
    start, end, _ = states
    for alpha in (0.1, 0.37, 0.9):
        mixed = interpolate(start, end, alpha)
        exact = (1 - alpha) * start["weight"].numpy().astype(np.float64) + alpha * end["weight"].numpy().astype(
            np.float64
        )
        assert np.array_equal(mixed["weight"].numpy(), exact.astype(np.float32))
        assert mixed["half"].dtype == torch.bfloat16
        assert mixed["num_batches_tracked"] == 8
    for alpha, whole in ((0, start), (1, end), (1.0, end)):
        assert interpolate(start, end, alpha) is whole


def test_the_ends_are_exact_where_arithmetic_is_not():
    start, end = {"w": torch.tensor([float("inf"), 1.0])}, {"w": torch.tensor([-0.0, 2.0])}
    assert torch.equal(interpolate(start, end, 1)["w"].view(torch.int32), end["w"].view(torch.int32))


def test_the_mean_of_several(states):
    mean = Mean(states[0]).plus(states[1]).plus(states[2])
    exact = sum(state["weight"].double() for state in states) / 3
    assert torch.equal(mean.state()["weight"], exact.float())
    assert mean.state()["half"].dtype == torch.bfloat16
    assert mean.state()["num_batches_tracked"] == 3
    turned = Mean(states[2]).plus(states[0]).plus(states[1])
    assert torch.equal(turned.state()["weight"], mean.state()["weight"])
    assert Mean(states[0]).state() is states[0]


def test_the_mean_of_equal_weights_is_those_weights(states):
    mean = Mean(states[0])
    for _ in range(6):
        mean = mean.plus(states[0])
    for alike in (mean.state(), interpolate(states[0], states[0], 0.3)):
        assert all(torch.equal(alike[name], tensor) for name, tensor in states[0].items())


def test_adding_to_a_mean_leaves_it_as_it_is(states):
    mean = Mean(states[0]).plus(states[1])
    before = mean.state()["weight"]
    mean.plus(states[2])
    assert torch.equal(mean.state()["weight"], before)


def test_what_is_better():
    assert rank({"accuracy": 0.9, "loss": 0.5}, ACCURACY) > rank({"accuracy": 0.8, "loss": 0.1}, ACCURACY)
    assert rank({"accuracy": 0.9, "loss": 0.1}, ACCURACY) > rank({"accuracy": 0.9, "loss": 0.5}, ACCURACY)
    assert rank({"mse": 0.1, "loss": 0.1}, "regression") > rank({"mse": 0.2, "loss": 0.2}, "regression")


def test_a_paragraph_stands_under_the_heading():
    card = "---\nlicense: mit\n---\n\n# Title\n\nText\n\n```python\n# no heading\n```\n"
    table = markdown_table([["run", "score"], ["a|b", "1"]])
    assert table == "| run | score |\n|---|---:|\n| a\\|b | 1 |"
    assert with_paragraph(card, table) == card.replace("# Title\n", f"# Title\n\n{table}\n", 1)


# ---------------------------------------------------------------------------------------------------------------------
# BatchNorm


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.drop = nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.Dropout(0.5)

    def forward(self, x):
        return self.second(2 * self.drop(self.first(x)))


def test_statistics_are_the_mean_over_batches():
    torch.manual_seed(0)
    net, batches = Net(), [{"x": torch.randn(8, 3) + 5, "labels": torch.zeros(8)} for _ in range(3)]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    renew_statistics(net, ["first"], batches)
    inputs = torch.stack([batch["x"] for batch in batches])
    torch.testing.assert_close(net.first.running_mean, inputs.mean(1).mean(0))
    torch.testing.assert_close(net.first.running_var, inputs.var(1).mean(0))
    assert net.first.num_batches_tracked == 3 and net.first.momentum == 0.1
    assert not any(module.training for module in net.modules())
    after = net.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before if not n.startswith(("first.running", "first.num")))


def test_statistics_that_all_members_share_stay():
    net = Net()
    reference = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    other = {**reference, "second.running_var": reference["second.running_var"] + 1}
    assert disagreeing_layers(net, reference, interpolate(other, reference, 0.3)) == ["second"]
    assert disagreeing_layers(net, reference, interpolate(reference, reference, 0.3)) == []
    other = {**reference, "first.weight": reference["first.weight"] + 1}
    assert disagreeing_layers(net, reference, interpolate(other, reference, 0.3)) == []
