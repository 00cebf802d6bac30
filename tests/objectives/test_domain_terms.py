"""Terms between domains: reference values, closed forms, and which rows they read."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from hf_transfer.errors import UserError
from hf_transfer.objectives.domain import CDAN, CORAL, DANN, MCC, MMD, EntropyMinimisation, PseudoLabels
from hf_transfer.objectives.domain.alignment_terms import coral_distance, mmd2
from hf_transfer.objectives.domain.reversal import reverse, strength
from hf_transfer.objectives.domain.unlabelled_terms import class_confusion
from hf_transfer.objectives.terms import Context, Seen

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/transfer_methods.json").read_text())["alignment"]
SOURCE, TARGET = (torch.tensor(GOLDEN[name], dtype=torch.float64) for name in ("source", "target"))
ALL = (CORAL(), MMD(), DANN(hidden_size=8), CDAN(hidden_size=8), EntropyMinimisation(), PseudoLabels(0.5), MCC())
named = {"ids": lambda one: type(one).__name__}


def seen(
    source: int = 6, target: int = 5, width: int = 4, labels: int = 3, progress: float = 0.5, seed: int = 0
) -> Seen:
    """A batch whose source rows have labels and whose target rows have none."""
    draw = torch.Generator().manual_seed(seed)
    rows = source + target
    features = torch.randn(rows, width, generator=draw).requires_grad_()
    domains = torch.tensor([0] * source + [1] * target)[torch.randperm(rows, generator=draw)]
    given = torch.where(domains == 0, torch.arange(rows) % labels, -100)
    return Seen(
        model=None,
        inputs={},
        logits=features @ torch.randn(width, labels, generator=draw),
        labels=given,
        weights=(given >= 0).float(),
        features=features,
        progress=progress,
        domains=domains,
    )


def built(objective, width: int = 4, labels: int = 3):
    torch.manual_seed(0)
    return objective.build(Context(model=None, depths={}, num_labels=labels, feature_width=width))


def test_deep_coral_is_the_reference():
    assert coral_distance(SOURCE, TARGET).item() == pytest.approx(GOLDEN["deep_coral"], rel=1e-6)


@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd_is_the_reference(unbiased):
    wanted = GOLDEN["mmd2_unbiased_rbf_sigma_1" if unbiased else "mmd2_v_statistic_rbf_sigma_1"]
    assert mmd2(SOURCE, TARGET, [1.0], unbiased).item() == pytest.approx(wanted, rel=1e-6)


def test_mmd_adds_kernels_around_the_median():
    batch = seen()
    source, target = (batch.features[batch.domains == one].detach().double() for one in (0, 1))
    median = torch.pdist(torch.cat([source, target])).pow(2).median().item()
    wanted = sum(mmd2(source, target, [alpha * median]).item() for alpha in (0.125, 0.25, 0.5, 1.0, 2.0))
    assert built(MMD())(batch).item() == pytest.approx(wanted * 6, rel=1e-4)


def test_the_gradient_is_reversed_and_grows():
    assert strength(0.0) == 0.0
    assert strength(0.1) == pytest.approx(2 / (1 + math.exp(-1)) - 1)
    assert strength(1.0) == pytest.approx(1, abs=1e-4)
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    out = reverse(values, 0.25)
    assert torch.equal(out, values)
    (out * torch.tensor([3.0, 5.0])).sum().backward()
    assert values.grad.tolist() == [-0.75, -1.25]


@pytest.mark.parametrize("objective", [DANN(hidden_size=8), CDAN(hidden_size=8)], **named)
def test_the_discriminator_learns_what_the_features_unlearn(objective):
    term, batch = built(objective), seen(progress=0.5)
    term(batch).backward()
    reversed_gradient = batch.features.grad.clone()
    own = [parameter.grad.clone() for parameter in term.parameters()]
    plain, again = built(objective), seen(progress=0.5)
    inputs = plain.inputs(again)
    loss = F.binary_cross_entropy_with_logits(
        plain.discriminator(inputs).squeeze(-1), again.domains.float(), reduction="none"
    )
    (loss * plain.balance(again)).sum().mul(again.weights.sum()).backward()
    assert torch.allclose(reversed_gradient, -strength(0.5) * again.features.grad, atol=1e-6)
    for one, other in zip(own, plain.parameters(), strict=True):
        assert torch.allclose(one, other.grad, atol=1e-6)


def test_the_domains_count_alike_however_many_rows_they_have():
    term = built(DANN(hidden_size=8))
    shares = term.balance(seen(source=9, target=2))
    domains = seen(source=9, target=2).domains
    assert shares[domains == 0].sum().item() == pytest.approx(0.5)
    assert shares[domains == 1].sum().item() == pytest.approx(0.5)


def test_a_wide_outer_product_becomes_random_products():
    term = built(CDAN(hidden_size=8, most=16), width=10, labels=3)
    batch = seen(width=10)
    assert term.inputs(batch).shape == (11, 16)
    exact = built(CDAN(hidden_size=8), width=10, labels=3).inputs(batch)
    assert exact.shape == (11, 30)
    # Dot products of random features are those of outer products on average.
    many = CDAN(hidden_size=8, most=20).build(Context(model=None, depths={}, num_labels=3, feature_width=10))
    many.of_features, many.of_classes = torch.randn(10, 200_000), torch.randn(3, 200_000)
    about = many.inputs(batch)
    assert torch.allclose(about @ about.T, exact @ exact.T, atol=0.35, rtol=0.1)


@pytest.mark.parametrize("objective", ALL, **named)
def test_a_term_counts_once_however_many_rows_have_labels(objective):
    """A sum over rows, divided by their weight in the trainer: twice the weight is twice the sum."""
    batch = seen()
    once = built(objective)(batch)
    batch.weights = batch.weights * 2
    assert built(objective)(batch).item() == pytest.approx(2 * once.item(), rel=1e-5)


@pytest.mark.parametrize("objective", ALL, **named)
def test_no_term_reads_labels(objective):
    batch, other = seen(), seen()
    other.labels = torch.where(other.domains == 0, (other.labels + 1) % 3, 2)
    assert built(objective)(batch).item() == built(objective)(other).item()


@pytest.mark.parametrize("objective", [EntropyMinimisation(), PseudoLabels(0.5), MCC()], **named)
def test_what_learns_from_predictions_reads_unlabelled_target_rows_alone(objective):
    batch = seen()
    labelled = batch.domains.nonzero()[0].item()
    batch.weights[labelled] = 1.0
    logits = batch.logits.detach().requires_grad_()
    batch.logits = logits
    built(objective)(batch).backward()
    moved = logits.grad.abs().sum(1) > 0
    assert not moved[batch.domains == 0].any() and not moved[labelled]
    assert moved[batch.domains == 1].any()


@pytest.mark.parametrize("objective", ALL, **named)
@pytest.mark.parametrize("target", [0, 1])
def test_a_batch_with_hardly_any_target_rows_gives_a_number(objective, target):
    value = built(objective)(seen(target=target))
    assert torch.isfinite(value)
    value.backward()


def test_pseudo_labels_by_hand():
    batch = seen(source=1, target=2, labels=2, width=2, progress=1.0)
    shares = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.6, 0.4]])
    order = torch.argsort(batch.domains, stable=True)
    logits = torch.empty(3, 2)
    logits[order] = shares.log()
    batch.logits = logits
    # Of two target rows one is certain enough; the other counts in the mean.
    assert built(PseudoLabels(0.8, aligned=False))(batch).item() == pytest.approx(-math.log(0.9) / 2, rel=1e-5)
    mean = -sum(p * math.log(p) for p in (0.9, 0.1, 0.6, 0.4)) / 2
    assert built(EntropyMinimisation(aligned=False))(batch).item() == pytest.approx(mean, rel=1e-5)
    # Aligned: the source row says 0.5 and 0.5, the target rows say 0.75 and 0.25 in the mean. Their odds of 9 and 1.5
    # fall to a third: 0.75, and 2/3 for the other class; the loss is of the probabilities as they are.
    assert built(PseudoLabels(0.7))(batch).item() == pytest.approx(-math.log(0.9) / 2, rel=1e-5)
    assert built(PseudoLabels(0.6))(batch).item() == pytest.approx(-(math.log(0.9) + math.log(0.4)) / 2, rel=1e-5)
    apart = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert built(EntropyMinimisation())(batch).item() == pytest.approx(mean + apart, rel=1e-5)


@pytest.mark.parametrize(
    "objective", [EntropyMinimisation(begins=0.2, full=0.6), PseudoLabels(0.5, begins=0.2, full=0.6)]
)
def test_what_strengthens_an_opinion_comes_in_late(objective):
    at = {progress: built(objective)(seen(progress=progress)).item() for progress in (0.0, 0.2, 0.3, 0.6, 1.0)}
    assert at[0.0] == at[0.2] == 0.0 < at[1.0] == at[0.6]
    assert at[0.3] == pytest.approx(at[1.0] / 4)


def test_class_confusion_of_certain_rows_is_none_and_of_guesses_is_whole():
    certain = torch.eye(3) * 1000
    assert class_confusion(certain, 2.5).item() == pytest.approx(0, abs=1e-5)
    assert class_confusion(torch.zeros(4, 3), 2.5).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MMD(alphas=()), "alphas"),
        (lambda: MMD(alphas=(0.0,)), "alphas"),
        (lambda: DANN(hidden_size=0), "hidden_size"),
        (lambda: CDAN(most=3), "most"),
        (lambda: PseudoLabels(threshold=1.0), "threshold"),
        (lambda: PseudoLabels(begins=0.7), "begins"),
        (lambda: EntropyMinimisation(full=1.5), "full"),
        (lambda: EntropyMinimisation(aligned=1), "aligned"),
        (lambda: MCC(temperature=0.0), "temperature"),
        (lambda: MCC().check(False, "regression"), "regression"),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(UserError, match=says):
        make()
