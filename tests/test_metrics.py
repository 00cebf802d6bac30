"""Every metric against numbers worked by hand; the ways of calling them; intervals and baselines."""

import json
import math
import socket
import warnings

import evaluate
import numpy as np
import pytest
from sklearn import metrics as sk

from hf_transfer import metrics as m
from hf_transfer import scoring
from hf_transfer.errors import UserError

SINGLE, MULTI, REGRESSION = m.SINGLE, m.MULTI, m.REGRESSION

# Class 0: 2 hits, 1 false alarm, 1 miss. Class 1: 2 hits, 1 false alarm. Class 2: 1 miss, never predicted.
TRUE, SAID = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]
BY_HAND = {
    "accuracy": 4 / 6,
    "balanced_accuracy": (2 / 3 + 1 + 0) / 3,
    "macro_precision": (2 / 3 + 2 / 3 + 0) / 3,
    "macro_recall": (2 / 3 + 1 + 0) / 3,
    "macro_f1": (2 / 3 + 4 / 5 + 0) / 3,
    "weighted_precision": (3 * 2 / 3 + 2 * 2 / 3 + 0) / 6,
    "weighted_recall": 4 / 6,
    "weighted_f1": (3 * 2 / 3 + 2 * 4 / 5 + 0) / 6,
    "micro_precision": 4 / 6,
    "micro_recall": 4 / 6,
    "micro_f1": 4 / 6,
    # (hits * rows - sum of said * true) / sqrt((rows^2 - sum said^2) (rows^2 - sum true^2))
    "matthews_correlation": (4 * 6 - (3 * 3 + 3 * 2 + 0 * 1)) / math.sqrt((36 - 18) * (36 - 14)),
}

# All three labels of row 0 and label 1 of row 1 are said, label 1 of row 0 wrongly.
TRUE_ROWS, SAID_ROWS = [[1, 0, 1], [0, 1, 0]], [[1, 1, 1], [0, 1, 0]]
BY_HAND_ROWS = {
    "accuracy": 1 / 2,
    "micro_precision": 3 / 4,
    "micro_recall": 1.0,
    "micro_f1": 6 / 7,
    "macro_precision": (1 + 1 / 2 + 1) / 3,
    "macro_recall": 1.0,
    "macro_f1": (1 + 2 / 3 + 1) / 3,
    "weighted_precision": (1 + 1 / 2 + 1) / 3,
    "weighted_recall": 1.0,
    "weighted_f1": (1 + 2 / 3 + 1) / 3,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_classes_by_hand(name):
    assert m.METRICS[name]().compute(predictions=SAID, references=TRUE)[name] == pytest.approx(BY_HAND[name])


@pytest.mark.parametrize("name", BY_HAND_ROWS)
def test_several_labels_by_hand(name):
    got = m.METRICS[name]().compute(predictions=SAID_ROWS, references=TRUE_ROWS)[name]
    assert got == pytest.approx(BY_HAND_ROWS[name])


def test_roc_auc_of_two_classes_by_hand():
    # of the four pairs of a negative and a positive row, three are in order
    scores, truth = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
    columns = [[1 - s, s] for s in scores]
    assert m.RocAuc().compute(predictions=scores, references=truth)["roc_auc"] == pytest.approx(3 / 4)
    assert m.RocAuc().compute(predictions=columns, references=truth)["roc_auc"] == pytest.approx(3 / 4)


# class 0 ranks its row first (1.0), class 1 its row last (0.0), class 2 its row first (1.0)
THREE = [[0.6, 0.3, 0.1], [0.5, 0.2, 0.3], [0.2, 0.4, 0.4]]


def test_roc_auc_of_three_classes_by_hand():
    assert m.RocAuc().compute(predictions=THREE, references=[0, 1, 2])["roc_auc"] == pytest.approx(2 / 3)


def test_roc_auc_of_several_labels_by_hand():
    # label 0: one of one pairs in order; label 1: none of one
    got = m.RocAuc().compute(predictions=[[0.9, 0.6], [0.3, 0.2]], references=[[1, 0], [0, 1]])
    assert got["roc_auc"] == pytest.approx(1 / 2)


def test_log_loss_by_hand():
    got = m.LogLoss().compute(predictions=THREE, references=[0, 1, 2])["log_loss"]
    assert got == pytest.approx(-(math.log(0.6) + math.log(0.2) + math.log(0.4)) / 3)
    # a class that does not occur is no error
    assert m.LogLoss().compute(predictions=THREE, references=[0, 0, 0])["log_loss"] == pytest.approx(
        -(math.log(0.6) + math.log(0.5) + math.log(0.2)) / 3
    )
    rows = m.LogLoss().compute(predictions=[[0.9, 0.6]], references=[[1, 0]])["log_loss"]
    assert rows == pytest.approx(-(math.log(0.9) + math.log(0.4)) / 2)


def test_calibration_error_by_hand():
    # bin (0.9, 1]: two rows at 0.95, one right: gap 0.45; 0.65, right: gap 0.35; 0.8 for class 0, right: gap 0.2
    metric = m.ExpectedCalibrationError(n_bins=10)
    got = metric.compute(predictions=[0.95, 0.95, 0.65, 0.2], references=[1, 0, 1, 0])["ece"]
    assert got == pytest.approx((2 * 0.45 + 0.35 + 0.2) / 4)
    rows = metric.compute(predictions=[[0.95, 0.65], [0.95, 0.2]], references=[[1, 1], [0, 0]])["ece"]
    assert rows == pytest.approx((2 * 0.45 + 0.35 + 0.2) / 4)
    # one bin: mean confidence 0.8375, of which 3 of 4 right
    assert m.ExpectedCalibrationError(n_bins=1).compute(predictions=[0.95, 0.95, 0.65, 0.2], references=[1, 0, 1, 0])[
        "ece"
    ] == pytest.approx(0.8375 - 0.75)
    assert m.METRICS["ece"]().n_bins == 15


def test_calibration_bins_are_closed_above():
    # 0.5 belongs to (0, 0.5] and 0.75 to (0.5, 1]: gaps 0.5 and 0.25 do not mix
    got = m.ExpectedCalibrationError(n_bins=2).compute(predictions=[[0.5, 0.5], [0.25, 0.75]], references=[1, 1])
    assert got["ece"] == pytest.approx((0.5 + 0.25) / 2)


def test_regression_by_hand():
    truth = [1.0, 2.0, 3.0, 4.0]
    off = {"predictions": [1.0, 2.0, 3.0, 8.0], "references": truth}
    assert m.MSE().compute(**off) == {"mse": 4.0}
    assert m.MAE().compute(**off) == {"mae": 1.0}
    assert m.Pearson().compute(**off)["pearson"] == pytest.approx(11 / math.sqrt(29 * 5))
    assert m.Spearman().compute(**off)["spearman"] == pytest.approx(1.0)
    # equal values share rank 1.5
    tied = m.Spearman().compute(predictions=[1.0, 1.0, 2.0, 3.0], references=truth)["spearman"]
    assert tied == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_a_single_label_is_not_averaged_with_its_absence():
    # two hits, one false alarm, one miss; scikit-learn alone would average in the rows without the label
    truth, said = [[1], [0], [1], [1]], [[1], [1], [1], [0]]
    for name in ("macro_f1", "weighted_f1", "micro_f1"):
        assert m.METRICS[name]().compute(predictions=said, references=truth)[name] == pytest.approx(2 / 3)
    logits = np.where(np.array(said) == 1, 3.0, -3.0)
    assert scoring.per_class(logits, np.array(truth), MULTI, ["urgent"]) == [
        {"name": "urgent", "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3}
    ]


def test_own_formulas_agree_with_sklearn():
    rng = np.random.default_rng(3)
    said, truth = rng.integers(0, 2, (60, 4)), rng.integers(0, 2, (60, 4))
    for name, of in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        key = f"micro_{name}"
        assert m.METRICS[key]()._compute(said, truth)[key] == pytest.approx(of(truth, said, average="micro"))
    ids, answers = rng.integers(0, 5, 60), rng.integers(0, 5, 60)
    assert m.Accuracy()._compute(answers, ids)["accuracy"] == pytest.approx(sk.accuracy_score(ids, answers))
    assert m.BalancedAccuracy()._compute(answers, ids)["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(ids, answers)
    )
    numbers, values = rng.normal(size=60), rng.normal(size=60)
    assert m.MSE()._compute(numbers, values)["mse"] == pytest.approx(sk.mean_squared_error(values, numbers))
    assert m.MAE()._compute(numbers, values)["mae"] == pytest.approx(sk.mean_absolute_error(values, numbers))


def sample(problem_type, rows=40, seed=0):
    rng = np.random.default_rng(seed)
    if problem_type == SINGLE:
        return rng.normal(size=(rows, 3)), np.arange(rows) % 3
    if problem_type == MULTI:
        return rng.normal(size=(rows, 3)), rng.integers(0, 2, (rows, 3))
    return rng.normal(size=(rows, 1)), rng.normal(size=rows)


def names_for(problem_type):
    return [name for name, metric in m.METRICS.items() if problem_type in metric().problem_types]


@pytest.mark.parametrize("problem_type", m.DEFAULT_METRICS)
def test_combine_needs_no_network_and_no_disk(problem_type, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a metric went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    logits, labels = sample(problem_type)
    names = names_for(problem_type)
    combined = evaluate.combine([m.METRICS[name]() for name in names])
    predictions = scoring.probabilities(logits, problem_type)
    got = combined.compute(predictions=predictions, references=labels)
    assert list(got) == names
    assert got == pytest.approx(
        {n: v for n, v in scoring.compute_metrics(logits, labels, problem_type, names).items() if n in got}
    )
    # and in pieces, as evaluate's users do
    for start in (0, 16, 32):
        combined.add_batch(predictions=predictions[start : start + 16], references=labels[start : start + 16])
    assert combined.compute() == pytest.approx(got)
    assert list(tmp_path.iterdir()) == []


def test_equal_keys_are_told_apart_when_combined():
    pair = {"coarse": m.ExpectedCalibrationError(n_bins=1), "fine": m.ExpectedCalibrationError(n_bins=10)}
    got = evaluate.combine(pair).compute(predictions=[0.95, 0.65], references=[0, 1])
    assert set(got) == {"coarse_ece", "fine_ece"} and got["coarse_ece"] != got["fine_ece"]
    assert [m.METRICS[name]().name for name in m.METRICS] == list(m.METRICS)


def test_compute_metrics_has_no_second_copy_of_the_formulas(monkeypatch):
    logits, labels = sample(SINGLE)
    monkeypatch.setattr(m.F1, "value", lambda self, predictions, references: 0.125)
    monkeypatch.setattr(m.Accuracy, "row_terms", lambda self, p, r: (np.full(len(r), 0.25), np.ones(len(r))))
    got = scoring.compute_metrics(logits, labels, SINGLE)
    assert got["macro_f1"] == got["weighted_f1"] == 0.125
    assert got["accuracy"] == 0.25
    assert scoring.bootstrap_ci(logits, labels, SINGLE, "accuracy", 10) == (0.25, 0.25)
    assert scoring.majority_baseline(labels, labels, SINGLE) == 0.25


def test_compute_metrics_gives_plain_floats_and_the_loss():
    three = math.log(3)
    got = scoring.compute_metrics([[0.0, three], [0.0, three]], [1, 0], SINGLE)
    assert got["loss"] == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    assert got["accuracy"] == 0.5
    assert list(got)[0] == "accuracy" and {type(value) for value in got.values()} == {float}
    assert json.loads(json.dumps(got)) == got
    rows = scoring.compute_metrics([[0.0, three]], [[1.0, 0.0]], MULTI)
    assert rows["loss"] == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert scoring.compute_metrics([[1.0], [4.0]], [1.0, 2.0], REGRESSION)["loss"] == 2.0
    assert scoring.compute_metrics([1.0, 4.0], [[1.0], [2.0]], REGRESSION)["mse"] == 2.0


def test_log_loss_is_the_loss():
    for problem_type in (SINGLE, MULTI):
        got = scoring.compute_metrics(*sample(problem_type), problem_type, ("log_loss",))
        assert got["log_loss"] == pytest.approx(got["loss"])


def test_defaults_are_defined_and_start_with_the_headline():
    for problem_type in m.DEFAULT_METRICS:  # several tasks have those of each
        headline, _ = m.HEADLINE[problem_type]
        got = scoring.compute_metrics(*sample(problem_type), problem_type)
        assert tuple(got) == (*m.DEFAULT_METRICS[problem_type], "loss")
        assert m.metric_names(problem_type)[0] == headline
        assert m.metric_names(problem_type, ["macro_f1"] if problem_type != REGRESSION else ["mae"])[0] == headline


def test_undefined_metrics_are_left_out_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_class = scoring.compute_metrics([[2.0, 0.0], [0.0, 1.0]], [0, 0], SINGLE)
        # class 2 of three does not occur
        gap = scoring.compute_metrics([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [0, 1], SINGLE)
        # label 1 has no row
        empty = scoring.compute_metrics([[1.0, -1.0], [-1.0, -1.0]], [[1, 0], [0, 0]], MULTI)
        constant = scoring.compute_metrics([[0.1], [0.1], [0.1]], [1.0, 2.0, 3.0], REGRESSION)
    assert "roc_auc" not in one_class and one_class["accuracy"] == 0.5 and one_class["balanced_accuracy"] == 0.5
    assert "roc_auc" not in gap and gap["accuracy"] == 1.0
    assert "roc_auc" not in empty and empty["micro_f1"] == 1.0
    assert not {"pearson", "spearman"} & set(constant) and constant["mae"] == pytest.approx(1.9)


def test_probabilities_are_stable_and_double():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scoring.probabilities(np.float32([[1000, 0], [0, -1000]]), SINGLE).tolist() == [[1, 0], [1, 0]]
        assert scoring.probabilities(np.float32([[-1000, 0, 1000]]), MULTI).tolist() == [[0, 0.5, 1]]
    thirds = scoring.probabilities(np.float16([[7, 7, 7]]), SINGLE)
    assert thirds.dtype == np.float64 and thirds == pytest.approx(1 / 3, abs=1e-15)
    assert scoring.probabilities([[2.5], [-1.0]], REGRESSION).tolist() == [2.5, -1.0]


def test_decide():
    assert m.decide(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]]), SINGLE).tolist() == [0, 2]
    assert m.decide(np.array([[0.5, 0.51]]), MULTI).tolist() == [[0, 1]]
    assert m.decide(np.array([1.5]), REGRESSION).tolist() == [1.5]


@pytest.mark.parametrize(
    "problem_type, names, words",
    [
        (REGRESSION, ["roc_auc"], ["'roc_auc'", "regression", "mse, mae"]),
        (MULTI, ["matthews_correlation"], ["'matthews_correlation'", "micro_f1"]),
        (SINGLE, ["acuracy"], ["'acuracy'", "accuracy"]),
    ],
)
def test_a_metric_that_is_not_defined_is_refused(problem_type, names, words):
    with pytest.raises(UserError) as error:
        scoring.compute_metrics(*sample(problem_type), problem_type, names)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_diverged_training_is_said():
    with pytest.raises(UserError, match="not finite in 1 of 2 rows.*learning_rate"):
        scoring.compute_metrics([[0.0, np.nan], [1.0, 0.0]], [0, 1], SINGLE)


@pytest.mark.parametrize(
    "logits, labels, problem_type",
    [
        ([[0.0, 1.0]], [2], SINGLE),
        ([[0.0, 1.0]], [-1], SINGLE),
        ([[0.0, 1.0]], [0, 1], SINGLE),
        ([0.0, 1.0], [0, 1], SINGLE),
        ([[0.0, 1.0]], [1], MULTI),
        ([[0.0, 1.0]], [1.0], REGRESSION),
        (np.empty((0, 2)), [], SINGLE),
    ],
)
def test_shapes_that_do_not_fit_are_refused(logits, labels, problem_type):
    with pytest.raises(ValueError):
        scoring.compute_metrics(logits, labels, problem_type)


def test_wrong_use_of_a_metric_is_refused():
    with pytest.raises(ValueError, match="class ids"):
        m.Accuracy().compute(predictions=[0.2, 0.8], references=[0, 1])
    with pytest.raises(ValueError, match="probabilities"):
        m.ExpectedCalibrationError().compute(predictions=[0, 2], references=[0, 2])
    with pytest.raises(UserError, match="macro, micro, weighted"):
        m.F1(average="binary")
    with pytest.raises(UserError, match="n_bins"):
        m.ExpectedCalibrationError(n_bins=0)


def test_per_class_by_hand():
    logits = np.eye(4)[SAID]  # a fourth class neither occurs nor is said
    got = scoring.per_class(logits, np.array(TRUE), SINGLE, ["a", "b", "c", "d"])
    assert [row.pop("name") for row in got] == ["a", "b", "c", "d"]
    assert [row.pop("support") for row in got] == [3, 2, 1, 0]
    expected = [(2 / 3, 2 / 3, 2 / 3), (2 / 3, 1, 0.8), (0, 0, 0), (0, 0, 0)]
    for row, scores in zip(got, expected, strict=True):
        assert tuple(row.values()) == pytest.approx(scores)
    labels = scoring.per_class(np.array(SAID_ROWS) - 0.5, np.array(TRUE_ROWS), MULTI, ["x", "y", "z"])
    assert labels[1] == {"name": "y", "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1}
    assert scoring.per_class(np.ones((2, 1)), np.ones(2), REGRESSION, ["stars"]) == []


def test_bootstrap_of_accuracy_is_binomial():
    # 80 of 100 right: the share of 100 draws has deviation sqrt(0.8 * 0.2 / 100) = 0.04
    logits = np.tile([1.0, 0.0], (100, 1))
    labels = np.array([0] * 80 + [1] * 20)
    low, high = scoring.bootstrap_ci(logits, labels, SINGLE, "accuracy")
    assert low == pytest.approx(0.8 - 1.96 * 0.04, abs=0.015)
    assert high == pytest.approx(0.8 + 1.96 * 0.04, abs=0.015)
    assert (low, high) == scoring.bootstrap_ci(logits, labels, SINGLE, "accuracy")
    assert (low, high) != scoring.bootstrap_ci(logits, labels, SINGLE, "accuracy", seed=1)


def test_bootstrap_of_equal_errors_has_no_width():
    assert scoring.bootstrap_ci([[2.0], [0.0]], [0.0, 2.0], REGRESSION, "mse", 20) == (4.0, 4.0)
    assert scoring.bootstrap_ci([[2.0], [0.0]], [0.0, 2.0], REGRESSION, "mae", 20) == (2.0, 2.0)


@pytest.mark.parametrize(
    "problem_type, name",
    [(SINGLE, "accuracy"), (SINGLE, "micro_f1"), (MULTI, "micro_f1"), (MULTI, "micro_precision"), (REGRESSION, "mse")],
)
def test_bootstrap_by_row_terms_is_that_of_the_metric(problem_type, name, monkeypatch):
    logits, labels = sample(problem_type)
    fast = scoring.bootstrap_ci(logits, labels, problem_type, name, 50)
    metric = m.METRICS[name]()

    class Slow(type(metric)):
        """The same metric, its terms hidden from the bootstrap but not from itself."""

        def row_terms(self, predictions, references):
            return None

        def _ratio(self, predictions, references):
            above, below = type(metric).row_terms(self, predictions, references)
            return above.sum() / below.sum()

    monkeypatch.setitem(m.METRICS, name, lambda: Slow(metric.average) if hasattr(metric, "average") else Slow())
    monkeypatch.setattr(scoring, "metric_names", lambda *_: ())
    assert scoring.bootstrap_ci(logits, labels, problem_type, name, 50) == pytest.approx(fast)


def test_bootstrap_of_a_metric_that_needs_every_row():
    logits, labels = sample(SINGLE)
    low, high = scoring.bootstrap_ci(logits, labels, SINGLE, "macro_f1", 50)
    assert low < scoring.compute_metrics(logits, labels, SINGLE)["macro_f1"] < high
    # resamples without class 2 leave ROC-AUC undefined and are passed over
    logits, labels = sample(SINGLE, rows=6)
    assert all(math.isfinite(bound) for bound in scoring.bootstrap_ci(logits, labels, SINGLE, "roc_auc", 50))
    with pytest.raises(ValueError, match="undefined"):
        scoring.bootstrap_ci([[1.0, 0.0]], [0], SINGLE, "roc_auc")
    with pytest.raises(UserError, match="mse"):
        scoring.bootstrap_ci(logits, labels, SINGLE, "mse")


def test_majority_baselines_by_hand():
    assert scoring.majority_baseline([0, 0, 1], [1, 1, 0, 1], SINGLE) == 1 / 4
    assert scoring.majority_baseline([1, 0], [1, 1, 0, 1], SINGLE) == 1 / 4  # of equals the smaller id
    # label 0 on 2 of 3 rows, label 1 on 1 of 3: answers (1, 0); on test one hit, one false alarm, one miss
    assert scoring.majority_baseline([[1, 0], [1, 1], [0, 0]], [[1, 1], [0, 0]], MULTI) == 1 / 2
    assert scoring.majority_baseline([[1, 0], [0, 0]], [[1, 1]], MULTI) == 0  # half is no majority
    assert scoring.majority_baseline([1.0, 3.0], [2.0, 4.0], REGRESSION) == 2.0
    assert type(scoring.majority_baseline(np.array([0, 0, 1]), np.array([0]), SINGLE)) is float
