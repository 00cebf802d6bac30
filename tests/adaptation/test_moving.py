"""Source features moved in closed form: moments afterwards, identities, and awkward shapes."""

import json
from pathlib import Path

import numpy as np
import pytest

from hf_transfer.adaptation.moving import coral, recolouring, scale, scaling
from hf_transfer.errors import UserError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/transfer_methods.json").read_text())["alignment"]
SOURCE, TARGET = (np.array(GOLDEN[name]) for name in ("source", "target"))


def correlated(rows: int, width: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(rows, width)) @ draw.normal(size=(width, width)) + draw.normal(size=width)


def deep_coral(source: np.ndarray, target: np.ndarray) -> float:
    return ((np.cov(source.T) - np.cov(target.T)) ** 2).sum() / (4 * source.shape[1] ** 2)


def test_scaled_columns_have_the_targets_moments():
    moved = scale(SOURCE, TARGET)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved.mean(0), TARGET.mean(0), atol=1e-5)
    np.testing.assert_allclose(moved.std(0), TARGET.std(0), rtol=1e-5)
    # Each column on its own: what is apart within one stays so.
    np.testing.assert_allclose(np.corrcoef(moved.T), np.corrcoef(SOURCE.T), atol=1e-5)


def test_coral_takes_the_distance_of_the_reference_to_nothing():
    assert deep_coral(SOURCE, TARGET) == pytest.approx(GOLDEN["deep_coral"], rel=1e-9)
    source, target = correlated(400, 6, 0), correlated(300, 6, 1)
    moved = coral(source, target, ridge=1e-9)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(target.T), atol=1e-3 * np.cov(target.T).max())
    np.testing.assert_allclose(moved.mean(0), target.mean(0), atol=1e-4)
    assert deep_coral(moved, target) < 1e-6 * deep_coral(source, target)
    assert deep_coral(coral(SOURCE, TARGET, ridge=0.1), TARGET) < 0.3 * GOLDEN["deep_coral"]


def test_the_formula_with_its_ridge():
    source, target = correlated(50, 4, 2), correlated(60, 4, 3)
    inner, outer = (cov + 0.5 * np.trace(cov) / 4 * np.eye(4) for cov in (np.cov(source.T), np.cov(target.T)))

    def root(matrix, power):
        values, vectors = np.linalg.eigh(matrix)
        return vectors @ np.diag(values**power) @ vectors.T

    expected = (source - source.mean(0)) @ root(inner, -0.5) @ root(outer, 0.5) + target.mean(0)
    np.testing.assert_allclose(coral(source, target, ridge=0.5), expected, atol=1e-4)


@pytest.mark.parametrize("move", [scale, coral])
def test_a_domain_is_where_it_is(move):
    np.testing.assert_allclose(move(SOURCE, SOURCE), SOURCE, atol=1e-4)


@pytest.mark.parametrize("make", [scaling, recolouring])
def test_other_rows_are_moved_by_the_same_map(make):
    move = make(SOURCE[:20], TARGET)
    assert np.array_equal(move(SOURCE)[:20], move(SOURCE[:20]))
    half = move((SOURCE[:1] + SOURCE[1:2]) / 2)
    np.testing.assert_allclose(half, (move(SOURCE[:1]) + move(SOURCE[1:2])) / 2, atol=1e-5)


@pytest.mark.parametrize("move", [scale, coral])
def test_constant_columns_and_fewer_rows_than_columns(move):
    source, target = correlated(5, 12, 4), correlated(7, 12, 5)
    source[:, 0], target[:, 1] = 3.0, -2.0
    source[:, 2] = 1 + 1e-12 * source[:, 3]  # rounding, which must not be blown up
    moved = move(source, target)
    assert np.isfinite(moved).all() and np.abs(moved).max() < 100
    np.testing.assert_allclose(moved.mean(0), target.mean(0), atol=1e-4)
    np.testing.assert_allclose(move(np.ones((4, 3)), correlated(9, 3, 6)).std(0), 0, atol=1e-6)
    assert np.isfinite(move(correlated(9, 3, 6), np.ones((4, 3)))).all()


def test_scale_ignores_the_units_of_the_source_and_keeps_constant_columns_at_the_targets_mean():
    np.testing.assert_allclose(scale(1e5 * SOURCE + 7, TARGET), scale(SOURCE, TARGET), atol=1e-4)
    np.testing.assert_allclose(coral(1e5 * SOURCE + 7, TARGET), coral(SOURCE, TARGET), atol=1e-4)


@pytest.mark.parametrize("ridge", [0, -1.0, float("inf"), float("nan")])
def test_a_ridge_must_be_above_zero(ridge):
    with pytest.raises(UserError, match="ridge is .*; allowed: a number above 0"):
        coral(SOURCE, TARGET, ridge=ridge)


@pytest.mark.parametrize("move", [scale, coral])
def test_features_must_fit_each_other(move):
    with pytest.raises(UserError, match="wide; they must come from the same backbone"):
        move(SOURCE, TARGET[:, 1:])
    with pytest.raises(UserError, match="not finite"):
        move(np.where(np.arange(len(SOURCE))[:, None] == 3, np.nan, SOURCE), TARGET)
