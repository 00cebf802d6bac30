"""Label-free criteria: values worked by hand, the torch terms of the same name, and what they prefer."""

import numpy as np
import pytest
import torch

from hf_transfer.adaptation import criteria
from hf_transfer.adaptation.criteria import (
    certainty,
    class_separation,
    mutual_information,
    neighbourhood_density,
    source_risk,
    weighted_source_risk,
)
from hf_transfer.adaptation.importance import CLIP, importance
from hf_transfer.objectives.domain.unlabelled_terms import class_confusion, entropy

LOGITS = np.random.default_rng(0).normal(scale=2, size=(60, 4)).astype("f4")
LABELS = np.random.default_rng(1).integers(0, 4, 60)


def sure(labels, classes: int = 4) -> np.ndarray:
    return 40.0 * np.eye(classes)[labels]


def test_source_risk_is_minus_the_cross_entropy_plain_and_weighted():
    losses = torch.nn.functional.cross_entropy(
        torch.from_numpy(LOGITS), torch.from_numpy(LABELS), reduction="none"
    ).numpy()
    assert source_risk(LOGITS, LABELS) == pytest.approx(-losses.mean(), rel=1e-5)
    weights = np.arange(60.0)
    assert weighted_source_risk(LOGITS, LABELS, weights) == pytest.approx(-(losses * weights).sum() / 1770, rel=1e-5)
    one = np.eye(60)[7]
    assert weighted_source_risk(LOGITS, LABELS, one) == pytest.approx(-losses[7], rel=1e-5)


def test_importance_weighting_is_unbiased_under_covariate_shift():
    """Sugiyama's point: the weighted risk of source rows is the risk on the target."""
    draw = np.random.default_rng(3)
    source, held_out, target = (draw.normal(size=(3000, 2)) for _ in range(3))
    target[:, 0] += 1
    weights = importance(source, target, held_out)
    truth = np.exp(held_out[:, 0] - 0.5)
    assert np.corrcoef(np.minimum(truth, CLIP), weights)[0, 1] > 0.98
    assert weights.mean() == pytest.approx(1, abs=0.1)
    rows = [(held_out, weights), (held_out, None), (target, None)]
    logits = [np.stack([rows[:, 0], -rows[:, 0]], 1) for rows, _ in rows]
    zeros = np.zeros(3000, int)
    on_target = source_risk(logits[2], zeros)
    assert weighted_source_risk(logits[0], zeros, weights) == pytest.approx(on_target, rel=0.15)
    assert abs(source_risk(logits[1], zeros) - on_target) > 0.5 * abs(on_target)


def test_importance_is_finite_and_positive_where_domains_never_meet():
    source = np.random.default_rng(0).normal(size=(50, 3))
    weights = importance(source, source + 100, source)
    assert np.isfinite(weights).all() and (weights > 0).all() and weights.max() <= CLIP * (1 + 1e-9)


def test_certainty_and_mutual_information_by_hand():
    assert certainty(np.zeros((5, 4))) == pytest.approx(-np.log(4))
    assert certainty(LOGITS) == pytest.approx(-entropy(torch.from_numpy(LOGITS)).mean().item(), rel=1e-5)
    balanced, one_class = sure(np.arange(40) % 4), sure(np.zeros(40, int))
    assert mutual_information(balanced) == pytest.approx(np.log(4))
    assert mutual_information(one_class) == pytest.approx(0, abs=1e-9)
    assert certainty(one_class) == pytest.approx(certainty(balanced), abs=1e-9) == pytest.approx(0, abs=1e-9)
    assert mutual_information(np.zeros((5, 4))) == pytest.approx(0, abs=1e-9)


def test_class_separation_is_minus_the_class_confusion_of_training():
    expected = class_confusion(torch.from_numpy(LOGITS), 2.5).item()
    assert class_separation(LOGITS) == pytest.approx(-expected, rel=1e-5)
    assert class_separation(10 * sure(np.arange(40) % 4)) == pytest.approx(0, abs=1e-9)
    assert class_separation(np.zeros((8, 4))) == pytest.approx(1 / 4 - 1)
    assert np.isfinite(class_separation(1e4 * sure(np.zeros(8, int))))


def naive_density(logits: np.ndarray) -> float:
    shares = torch.from_numpy(logits).double().softmax(1)
    shares = torch.nn.functional.normalize(shares, dim=1)
    similar = shares @ shares.T / 0.05
    similar.fill_diagonal_(-torch.inf)
    return entropy(similar.clamp(min=-1e9)).mean().item()


def test_neighbourhood_density_is_the_papers_formula(monkeypatch):
    assert neighbourhood_density(LOGITS) == pytest.approx(naive_density(LOGITS), rel=1e-9)
    monkeypatch.setattr(criteria, "ROWS", 7)
    assert neighbourhood_density(LOGITS) == pytest.approx(naive_density(LOGITS), rel=1e-9)
    # All rows in one place: every other one is an equal neighbour.
    assert neighbourhood_density(np.ones((20, 4))) == pytest.approx(np.log(19))
    groups = neighbourhood_density(sure(np.arange(40) % 4))
    assert groups == pytest.approx(np.log(9), abs=1e-4)
    monkeypatch.setattr(criteria, "MOST", 20)
    assert neighbourhood_density(sure(np.arange(40) % 4)) < groups
    assert neighbourhood_density(LOGITS[:2]) == 0
