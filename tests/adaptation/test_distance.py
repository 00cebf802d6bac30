"""The proxy A-distance: its ends, its value where the best error is known, and its seed."""

import numpy as np
import pytest
from scipy.stats import norm

from hf_transfer.adaptation import distance
from hf_transfer.adaptation.distance import proxy_a_distance
from hf_transfer.errors import UserError


def normal(rows: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(rows, 4))
    rows[:, 0] += shift
    return rows


def test_no_distance_between_rows_of_one_kind_and_two_between_what_never_meets():
    assert proxy_a_distance(normal(1500, 0), normal(1500, 1)) < 0.15
    assert proxy_a_distance(normal(300, 0), normal(300, 1, 30)) == 2.0


def test_between_them_it_is_that_of_the_best_classifier():
    # Two normal distributions one apart: the best line is in the middle and errs with probability Phi(-1/2).
    expected = 2 * (1 - 2 * norm.cdf(-0.5))
    assert proxy_a_distance(normal(3000, 0), normal(3000, 1, 1.0)) == pytest.approx(expected, abs=0.12)


def test_unequal_numbers_of_rows_do_not_count():
    # A classifier that always says "source" would be right nine times in ten.
    assert proxy_a_distance(normal(3000, 0), normal(300, 1)) < 0.35


def test_it_is_seeded_and_looks_at_some_thousands_of_rows_at_most(monkeypatch):
    source, target = normal(500, 0), normal(400, 1, 0.5)
    assert proxy_a_distance(source, target) == proxy_a_distance(source, target)
    values = {proxy_a_distance(source, target, seed) for seed in range(4)}
    assert len(values) > 1
    seen = []
    fit = distance.fit_layer
    monkeypatch.setattr(distance, "fit_layer", lambda *words: seen.append(len(words[0])) or fit(*words))
    monkeypatch.setattr(distance, "MOST", 50)
    proxy_a_distance(source, target)
    assert seen == [40]  # 40% of 50 rows of each


def test_too_few_rows_are_told():
    with pytest.raises(UserError, match="needs 5 rows of each domain; found 4 and 10"):
        proxy_a_distance(normal(4, 0), normal(10, 1))
