"""The weights of the tasks."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hf_transfer import Supervised, TaskMixture, TextClassification, UserError
from hf_transfer.multitask.loss import MixtureLoss
from hf_transfer.objectives.step_loss import StepLoss
from hf_transfer.objectives.terms import Seen, Term

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/transfer_methods.json").read_text())["uncertainty_weighting"]


class Fixed(torch.nn.Module):
    """A loss of a known mean over rows."""

    def __init__(self, mean: float):
        super().__init__()
        self.mean = mean

    def forward(self, logits, labels):
        return self.mean * torch.ones(len(labels), dtype=torch.float64).sum()

    def row_weights(self, labels):
        return torch.full((len(labels),), self.mean)


def seen(rows: int) -> Seen:
    ones = torch.ones(rows, dtype=torch.float64)
    return Seen(torch.nn.Linear(1, 1), {}, ones, ones, ones, None, 0.0)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("rows", [1, 5])
def test_uncertainty_weighting_is_that_of_the_paper(kind, rows):
    names = ["a", "b"]
    loss = MixtureLoss(
        {name: StepLoss(Fixed(mean)) for name, mean in zip(names, GOLDEN["losses"], strict=True)},
        names if kind == "regression" else (),
        "uncertainty",
    ).double()
    for parameter, value in zip(loss.log_variances, GOLDEN["log_variances"], strict=True):
        parameter.data.fill_(value)
    total = 0.0
    for name in names:
        loss.turn_to(name)
        parts = loss(seen(rows))
        assert [other for other in names if parts[other] != 0] == [name]
        total += sum(parts.values()).item() / rows  # a step divides by its rows
    assert total == pytest.approx(GOLDEN[kind], rel=1e-6)
    half = 0.5 if kind == "regression" else 1.0
    factors = [half * math.exp(-one) for one in GOLDEN["log_variances"]]
    assert list(loss.weights.values()) == pytest.approx(factors)  # as a run tells them


def test_a_step_moves_the_variance_of_its_own_task_alone():
    loss = MixtureLoss({"a": StepLoss(Fixed(1.0)), "b": StepLoss(Fixed(2.0))}, (), "uncertainty")
    loss.turn_to("b")
    sum(loss(seen(4)).values()).backward()
    assert [one.grad is None for one in loss.log_variances] == [True, False]  # the optimizer passes over the others
    # d/ds (exp(-s) L + s / 2) at 0 is 1 / 2 - L, for each of 4 rows.
    assert loss.log_variances[1].grad.item() == pytest.approx(4 * (0.5 - 2.0))


def test_fixed_weights_scale_the_training_loss_and_not_the_evaluation():
    tasks = {name: StepLoss(Supervised().build("regression")) for name in ("a", "b")}
    loss = MixtureLoss(tasks, ("a", "b"), {"a": 1.0, "b": 3.0})
    logits, labels = torch.tensor([[1.0], [2.0]]), torch.zeros(2)
    loss.turn_to("b")
    given = Seen(torch.nn.Linear(1, 1), {}, logits, labels, torch.ones(2), None, 0.0)
    assert loss(given)["b"].item() == pytest.approx(15.0)
    assert loss.evaluate(logits, labels).item() == pytest.approx(5.0)
    assert loss.weights == {"a": 1.0, "b": 3.0}


def test_rows_are_weighed_and_measured_by_their_own_task():
    loss = MixtureLoss({"a": StepLoss(Fixed(1.0)), "b": StepLoss(Fixed(2.0))})
    labels = torch.zeros(3)
    loss.turn_to("b")
    assert loss.row_weights(labels).tolist() == [2.0, 2.0, 2.0]
    assert loss.evaluate(labels, labels).item() == 6.0


class Watch(Term):
    """Notes which parameters it is shown."""

    name = "watch"

    def forward(self, seen):
        self.names = [name for name, _ in seen.model.named_parameters()]
        return torch.tensor(3.0)


def test_a_term_sees_the_backbone_and_the_head_of_the_task_at_hand():
    model, term = torch.nn.Module(), Watch()
    model.backbone = torch.nn.Linear(1, 1)
    model.heads = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(2))
    loss = MixtureLoss({"a": StepLoss(Fixed(1.0)), "b": StepLoss(Fixed(2.0))}, terms=[(term, 0.5)])
    loss.turn_to("b")
    parts = loss(replace(seen(4), model=model))
    assert parts["watch"].item() == 1.5
    assert term.names == ["backbone.weight", "backbone.bias", "heads.1.weight", "heads.1.bias"]
    assert loss.inside and not MixtureLoss({"a": StepLoss(Fixed(1.0))}).inside


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(weights={"a": 1}), "data.weights: b has None; each task needs a number above 0"),
        (dict(weights={"a": 1, "b": 1, "c": 1}), "data.weights names 'c', which is no task; tasks: a, b"),
        (dict(weights={"a": 1, "b": -1}), "data.weights: b has -1"),
        (dict(weights="learnt"), "data.weights is 'learnt'; allowed: uncertainty"),
        (dict(sampling="random"), "data.sampling is 'random'; allowed: proportional, uniform, temperature"),
        (dict(sampling="temperature"), "data.temperature is None; sampling temperature needs a number of at least 1"),
        (dict(temperature=2.0), "data.temperature goes with sampling temperature"),
    ],
)
def test_what_a_mixture_refuses(changes, said):
    with pytest.raises(UserError, match=said):
        TaskMixture({"a": TextClassification("a.csv"), "b": TextClassification("b.csv")}, **changes)
