"""Weights for source rows: reference values, certificates, and what they do on shifted data."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from hf_transfer.errors import UserError
from hf_transfer.reweighting import KLIEP, KMM, DensityRatio, TrAdaBoost, Weights, nystrom
from hf_transfer.reweighting import kernel as kernels
from hf_transfer.reweighting.boosting import boost
from hf_transfer.reweighting.kernel import Kernel, median_gamma
from hf_transfer.reweighting.kliep_solver import mixture
from hf_transfer.reweighting.kmm_solver import Feasible

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/transfer_methods.json").read_text())["reweighting"]
SOURCE, TARGET = (np.array(GOLDEN[name]) for name in ("source", "target"))


def shifted(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Source rows around 0, target rows around 1 in the first of five features: the density ratio is exp(x - 1/2)."""
    draw = np.random.default_rng(seed)
    source, target = draw.normal(size=(rows, 5)), draw.normal(size=(rows, 5))
    target[:, 0] += 1
    return source, target


def test_kmm_reaches_the_reference_objective():
    found = KMM(gamma=GOLDEN["rbf_gamma"], bound=GOLDEN["kmm_B"]).fit(SOURCE, TARGET)
    assert found.about["objective"] <= GOLDEN["kmm_objective"] * (1 - 1e-4)
    assert found.about["objective"] == pytest.approx(GOLDEN["kmm_objective"], rel=1e-4)
    assert found.about["sum"] == pytest.approx(GOLDEN["kmm_weight_sum"], rel=1e-3)
    # The objective of the very weights, not of what the solver says about them.
    weights = found.values * found.about["sum"] / len(SOURCE)
    gram = np.exp(-0.5 * ((SOURCE[:, None] - SOURCE) ** 2).sum(-1))
    kappa = np.exp(-0.5 * ((SOURCE[:, None] - TARGET) ** 2).sum(-1)).sum(1) * len(SOURCE) / len(TARGET)
    assert weights @ gram @ weights / 2 - kappa @ weights == pytest.approx(found.about["objective"], rel=1e-9)
    assert weights.min() >= 0 and weights.max() <= GOLDEN["kmm_B"] + 1e-9


def test_kliep_reaches_the_reference_likelihood():
    found = KLIEP(gamma=GOLDEN["rbf_gamma"]).fit(SOURCE, TARGET)
    assert found.about["objective"] >= GOLDEN["kliep_objective_sum_log_w_target"] * (1 - 1e-4)
    assert found.about["objective"] == pytest.approx(GOLDEN["kliep_objective_sum_log_w_target"], rel=1e-4)
    assert found.values.mean() == pytest.approx(GOLDEN["kliep_mean_source_weight"], rel=1e-9)
    assert 0 <= found.about["gap"] <= 1e-4 * found.about["objective"]


@pytest.mark.parametrize("weighting", [KMM(), KLIEP(), DensityRatio()], ids=lambda one: type(one).__name__)
def test_source_rows_that_look_like_the_target_weigh_more(weighting):
    source, target = shifted()
    found = weighting.fit(source, target)
    assert found.values.shape == (len(source),) and found.values.min() >= 0
    assert found.values.mean() == pytest.approx(1)
    truth = np.exp(source[:, 0] - 0.5)
    assert np.corrcoef(found.values, truth)[0, 1] > 0.3
    # What the weights are for: the mean of the source comes close to that of the target.
    assert np.average(source[:, 0], weights=found.values) > 0.5
    assert 0.05 * len(source) < found.effective_sample_size < 0.95 * len(source)


@pytest.mark.parametrize("weighting", [KMM(), KLIEP(), DensityRatio()], ids=lambda one: type(one).__name__)
def test_without_a_shift_all_rows_weigh_about_the_same(weighting):
    source, _ = shifted(seed=1)
    target, _ = shifted(seed=2)
    found = weighting.fit(source, target)
    # KMM matches the very rows of the target, chance included, and spends many source rows on it.
    assert found.effective_sample_size > (0.25 if isinstance(weighting, KMM) else 0.6) * len(source)


def test_labels_are_not_read_by_what_needs_none():
    source, target = shifted(100)
    for weighting in (KMM(), KLIEP(), DensityRatio()):
        plain = weighting.fit(source, target)
        labelled = weighting.fit(source, target, np.ones(100), np.arange(100))
        assert np.array_equal(plain.values, labelled.values)


def test_a_kernel_that_is_not_kept_gives_the_same_products(monkeypatch):
    source, target = shifted(300)
    kept = Kernel(source, target, 0.1)
    assert kept.matrix is not None
    monkeypatch.setattr(kernels, "BLOCK_BYTES", 8 * 300 * 7)
    monkeypatch.setattr(kernels, "KEEP_BYTES", 8 * 300)
    blocks = Kernel(source, target, 0.1)
    assert blocks.matrix is None
    vector = np.random.default_rng(0).random(300)
    assert blocks @ vector == pytest.approx(kept @ vector, rel=1e-5)


def test_kmm_of_more_rows_than_a_kernel_is_kept_of_comes_as_close(monkeypatch):
    source, target = shifted(600)
    whole = KMM().fit(source, target)
    monkeypatch.setattr(kernels, "KEEP_BYTES", 8 * 600)
    monkeypatch.setattr(nystrom, "LANDMARKS", 200)
    found = KMM().fit(source, target)
    assert found.about["landmarks"] == 200 and "landmarks" not in whole.about
    # The gap is that of the whole kernel, and true: the optimum lies between the objective and the objective less it.
    assert 0 < found.about["gap"] < 5e-3 * abs(found.about["objective"])
    assert found.about["objective"] - found.about["gap"] <= whole.about["objective"]
    assert found.about["objective"] <= whole.about["objective"] * 0.998  # both are below 0
    assert np.corrcoef(found.values, whole.values)[0, 1] > 0.8


def test_the_median_heuristic():
    rows = np.array([[0.0], [1.0], [3.0]])
    assert median_gamma(rows) == pytest.approx(1 / (2 * 2**2))  # distances 1, 2, 3
    assert median_gamma(np.zeros((4, 2))) == 1.0


def test_projection_and_linear_bound_against_a_general_solver():
    from scipy.optimize import linprog, minimize

    draw = np.random.default_rng(3)
    for case in range(8):
        count, bound = 12, 2.0
        feasible = Feasible(5.0, 9.0, bound)
        point = draw.normal(size=count) * 3 + (case % 3 - 1) * 2
        found = feasible.nearest(point)
        assert found.min() >= 0 and found.max() <= bound and 5 - 1e-9 <= found.sum() <= 9 + 1e-9
        limits = [{"type": "ineq", "fun": lambda w: w.sum() - 5}, {"type": "ineq", "fun": lambda w: 9 - w.sum()}]
        best = minimize(
            lambda w, point=point: ((w - point) ** 2).sum(),
            np.full(count, 0.5),
            bounds=[(0, bound)] * count,
            constraints=limits,
        )
        assert ((found - point) ** 2).sum() <= best.fun + 1e-5
        slope = point + case - 4
        sums = np.vstack([np.ones(count), -np.ones(count)])
        exact = linprog(slope, A_ub=sums, b_ub=[9, -5], bounds=(0, bound)).fun
        assert feasible.lowest(slope) == pytest.approx(exact)


def test_a_mixture_is_solved_where_the_answer_is_known():
    # Two components without overlap: the shares are those of the rows.
    densities = np.array([[2.0, 0.0]] * 3 + [[0.0, 5.0]] * 1)
    shares, gap = mixture(densities)
    assert shares == pytest.approx([0.75, 0.25], abs=1e-6) and gap <= 1e-6
    # One that explains nothing better than another gets no share.
    shares, _ = mixture(np.array([[2.0, 1.0], [3.0, 1.5], [4.0, 3.9]]))
    assert shares == pytest.approx([1, 0], abs=1e-6)


def test_tradaboost_by_hand():
    """Four source rows, two target rows and learners that are wrong where it is said: the paper's update."""
    source, target = np.zeros((4, 1)), np.ones((2, 1))
    mistakes = iter([[1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0]])
    labels = np.array([0, 1, 0, 1, 0, 1])

    def learn(rows, given, weights):
        assert weights.sum() == pytest.approx(1)
        wrong = np.array(next(mistakes), dtype=bool)
        answer = np.where(wrong, 1 - given, given)
        return lambda features: answer[: len(features)]

    # Round 1 gets one of two target rows wrong: no better than a coin.
    with pytest.raises(UserError, match="coin"):
        boost(source, labels[:4], target, labels[4:], 2, learn=learn)
    target = np.ones((4, 1))
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    mistakes = iter([[1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]])
    found = boost(source, labels[:4], target, labels[4:], 2, learn=learn)
    beta = 1 / (1 + math.sqrt(2 * math.log(4) / 2))
    assert found.errors == [0.25, 0.125]  # none wrong in round 2: half a row of four
    assert found.source_weights == pytest.approx([beta**2, beta, 1, 1])
    assert found.target_weights == pytest.approx([3, 1, 1, 1])  # (1 - 1/4) / (1/4)


def test_the_rounds_end_before_a_learner_that_is_no_better_than_a_coin():
    labels = np.array([0, 1] * 4)
    mistakes = iter([[0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0]])

    def learn(rows, given, weights):
        wrong = np.array(next(mistakes), dtype=bool)
        return lambda features: np.where(wrong, 1 - given, given)

    found = boost(np.zeros((4, 1)), labels[:4], np.ones((4, 1)), labels[4:], 5, learn=learn)
    assert len(found.errors) == len(found.learners) == 1  # after round 1 the rows wrong in round 2 weigh 4 of 6


def test_the_later_half_votes():
    labels = np.array([0, 1])
    answers = [np.array([0, 0]), np.array([0, 1]), np.array([1, 1])]
    found = boost.__globals__["Boosted"](labels, np.ones(2), np.ones(2), [0.01, 0.2, 0.3])
    found.learners = [lambda features, one=one: one for one in answers]
    # Of three rounds the last two count: log 4 for (0, 1) against log(7/3) for (1, 1).
    assert found.vote(np.zeros((2, 1))).tolist() == [0, 1]


def test_tradaboost_distrusts_source_rows_that_contradict_the_target():
    draw = np.random.default_rng(0)
    source, target = draw.normal(size=(300, 3)), draw.normal(size=(60, 3))
    source_labels, target_labels = (source[:, 0] > 0).astype(int), (target[:, 0] > 0).astype(int)
    lies = np.arange(300) % 4 == 0
    source_labels[lies] = 1 - source_labels[lies]
    found = TrAdaBoost(rounds=10).fit(source, target, source_labels, target_labels)
    assert found.values[~lies].mean() > 5 * found.values[lies].mean()


def test_weights_say_what_they_are():
    found = Weights(np.array([3.0, 0.5, 0.5, 0.0]))
    assert found.effective_sample_size == pytest.approx(16 / 9.5)
    assert found.extremes(2) == ([0, 2], [3, 1])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: KMM(gamma=0.0), "KMM.gamma"),
        (lambda: KMM(bound=0.5), "KMM.bound"),
        (lambda: KLIEP(gamma=-1.0), "KLIEP.gamma"),
        (lambda: KLIEP(centres=0), "KLIEP.centres"),
        (lambda: DensityRatio(clip=0.0), "DensityRatio.clip"),
        (lambda: TrAdaBoost(rounds=0), "TrAdaBoost.rounds"),
        (lambda: TrAdaBoost().fit(SOURCE, TARGET), "labelled target rows"),
        (lambda: KMM().fit(SOURCE[:, :1], TARGET), "1 and 2 wide"),
        (lambda: KMM().fit(SOURCE * math.nan, TARGET), "not finite"),
        (lambda: KMM().fit(SOURCE[:0], TARGET), "shape"),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(UserError, match=says):
        make()
