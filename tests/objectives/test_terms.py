"""Objectives as values and as numbers: golden values, closed forms, and independence of how rows are grouped."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from hf_transfer import BSS, L2SP, Supervised, UserError, WeightedSum
from hf_transfer.objectives.bss_term import spectral_tail
from hf_transfer.objectives.l2_sp_term import L2SPTerm
from hf_transfer.objectives.step_loss import build_objective
from hf_transfer.objectives.terms import Context, Seen

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "transfer_methods.json").read_text(encoding="utf-8"))
KIND = "single_label_classification"


def seen(model=None, rows: int = 4, **changes) -> Seen:
    values = dict(
        model=model, inputs={}, logits=torch.zeros(rows, 2), labels=torch.zeros(rows, dtype=torch.long),
        weights=torch.ones(rows), features=None, progress=0.0,
    )  # fmt: skip
    return Seen(**{**values, **changes})


# ---------------------------------------------------------------------------------------------------------------------
# Values


def test_a_sum_is_said_as_it_is_written():
    assert str(Supervised() + 0.5 * L2SP(alpha=0.2)) == (
        "Supervised(focal_gamma=0.0) + 0.5 * L2SP(alpha=0.2, beta=0.01)"
    )


def test_objectives_add_and_scale():
    objective = Supervised() + 0.1 * L2SP(alpha=2.0) + BSS()
    assert objective == WeightedSum((Supervised(), L2SP(alpha=2.0), BSS()), (1.0, 0.1, 1.0))
    assert 0.5 * objective == WeightedSum(objective.objectives, (0.5, 0.05, 0.5))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: L2SP(alpha=-1), "L2SP.alpha is -1; allowed: a number of at least 0"),
        (lambda: BSS(k=0), "BSS.k is 0; allowed: a whole number from 1 on"),
        (lambda: Supervised(focal_gamma=-1), "objective.focal_gamma is -1"),
        (lambda: Supervised() + 1, "an objective is added to 1"),
        (lambda: "a" * L2SP(), "an objective is multiplied by 'a'"),
        (lambda: -1 * L2SP(), "objective.weights holds -1"),
        (lambda: WeightedSum((Supervised(),), (1.0, 2.0)), "holds 2 numbers for 1 objectives"),
        (lambda: build_objective(L2SP(), KIND), "objective has 0 Supervised"),
        (lambda: build_objective(Supervised() + Supervised(), KIND), "objective has 2 Supervised"),
        (lambda: Supervised(focal_gamma=2).build("regression"), "this task is a regression"),
        (lambda: Supervised(focal_gamma=2).build(KIND, None, 0.1), "label_smoothing_factor"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()


# ---------------------------------------------------------------------------------------------------------------------
# Numbers


@pytest.mark.parametrize("k", [1, 3])
def test_batch_spectral_shrinkage_is_that_of_the_golden_file(k):
    features = torch.tensor(GOLDEN["alignment"]["source"], dtype=torch.float64)
    assert spectral_tail(features, k).item() == pytest.approx(GOLDEN["alignment"][f"bss_k{k}"], rel=1e-6)


def moved_net() -> tuple[nn.Module, L2SPTerm, torch.Tensor]:
    """A backbone of one layer and a head, moved after the objective was built; and the backbone's start."""
    torch.manual_seed(0)
    net = nn.ModuleDict({"backbone": nn.Linear(3, 2), "head": nn.Linear(2, 2)})
    depths = {name: 2 if name.startswith("head") else 1 for name, _ in net.named_parameters()}
    term = L2SP(alpha=0.3, beta=0.7).build(Context(net, depths, 2))
    start = net["backbone"].weight.detach().clone()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    return net, term, start


def test_the_gradient_of_l2_sp_is_the_closed_form():
    net, term, start = moved_net()
    term(seen(net, rows=1)).backward()
    torch.testing.assert_close(net["backbone"].weight.grad, 0.3 * (net["backbone"].weight.detach() - start))
    torch.testing.assert_close(net["head"].weight.grad, 0.7 * net["head"].weight.detach())


def test_l2_sp_counts_once_per_step_however_the_rows_are_grouped():
    net, term, _ = moved_net()
    whole = term(seen(net, rows=8)) / 8
    parts = sum(term(seen(net, rows=count)) for count in (3, 4, 1)) / 8
    assert parts.item() == pytest.approx(whole.item(), rel=1e-6)
    weighted = term(seen(net, rows=2, weights=torch.tensor([0.5, 3.0]))) / 3.5
    assert weighted.item() == pytest.approx(whole.item(), rel=1e-6)


def test_focal_loss_by_hand():
    logits, labels = torch.tensor([[0.0, 2.0]]), torch.tensor([1])
    p = torch.sigmoid(torch.tensor(2.0))
    loss = Supervised(focal_gamma=2.0).build(KIND)(logits, labels)
    assert loss.item() == pytest.approx((-((1 - p) ** 2) * p.log()).item(), rel=1e-5)
    several = Supervised(focal_gamma=2.0).build("multi_label_classification")(torch.zeros(1, 2), torch.ones(1, 2))
    assert several.item() == pytest.approx(0.25 * 0.693147, abs=1e-5)


def test_parts_have_names_and_weights_and_evaluation_is_the_task_alone():
    net, _, _ = moved_net()
    depths = {name: 2 if name.startswith("head") else 1 for name, _ in net.named_parameters()}
    objective = 2.0 * Supervised() + 0.5 * L2SP(alpha=0.0, beta=1.0) + BSS()
    built = build_objective(objective, KIND, context=Context(net, depths, 2))
    parts = built(seen(net, features=torch.eye(4)))
    assert sorted(parts) == ["bss", "l2_sp", "task"] and built.reads_features
    assert parts["task"].item() == pytest.approx(2 * 4 * 0.693147, abs=1e-4)
    head = sum(parameter.pow(2).sum().item() for parameter in net["head"].parameters())
    assert parts["l2_sp"].item() == pytest.approx(0.5 * head / 2 * 4, rel=1e-5)
    assert parts["bss"].item() == pytest.approx(4.0)
    labels = torch.zeros(4, dtype=torch.long)
    assert built.evaluate(torch.zeros(4, 2), labels).item() == pytest.approx(4 * 0.693147, abs=1e-4)
