"""The cheap methods on made domains: what each is for, what none may read, and the same bits every time."""

import numpy as np
import pytest
import scipy.special

from hf_transfer.adaptation.cheap import CRITERIA, METHODS, WITHOUT_LABELS, choose, try_methods
from hf_transfer.adaptation.fitting import Layer, fit_layer
from hf_transfer.adaptation.moving import coral, scale
from hf_transfer.adaptation.self_training import certain_rows, self_train
from hf_transfer.errors import UserError

WIDTH, CLASSES = 6, 3
CENTRES = 1.2 * np.random.default_rng(9).normal(size=(CLASSES, WIDTH))
FACTOR, SHIFT = np.array([3, 0.3, 1, 2, 0.5, 1.0]), np.array([4.0, -3, 0, 6, 1, -2])


def draw(rows: int, seed: int, moved: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds; on the target every column has another mean and scale."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, rows)
    features = CENTRES[labels] + random.normal(size=(rows, WIDTH))
    return (features * FACTOR + SHIFT if moved else features).astype("f4"), labels


SOURCE, VALIDATION, TARGET, TEST = draw(240, 0), draw(90, 1), draw(200, 2, moved=True), draw(300, 3, moved=True)


@pytest.fixture(scope="module")
def tried():
    return {one.name: one for one in try_methods(*SOURCE, *VALIDATION, *TARGET)}


def accuracy(one) -> float:
    return (one.logits(TEST[0]).argmax(1) == TEST[1]).mean()


def test_all_methods_give_a_layer_on_raw_target_features(tried):
    assert list(tried) == list(METHODS)
    for one in tried.values():
        assert one.weight.shape == (CLASSES, WIDTH) and one.bias.shape == (CLASSES,)
        assert one.weight.dtype == one.bias.dtype == np.float32
        assert set(one.criteria) == set(CRITERIA) and all(map(np.isfinite, one.criteria.values()))
        assert one.seconds > 0 and one.about["l2"] > 0


def test_moving_the_source_helps_where_the_target_has_moved(tried):
    best = accuracy(tried["target_only"])
    assert best > 0.85 and accuracy(tried["source_only"]) < best - 0.2
    for name in ("scale", "coral", "scale+self_training", "tradaboost"):
        assert accuracy(tried[name]) > best - 0.04, name


def test_the_choice_without_labels_is_a_good_one(tried):
    chosen = choose([one for name, one in tried.items() if name in WITHOUT_LABELS])
    assert accuracy(chosen) > accuracy(tried["target_only"]) - 0.04
    assert choose(list(tried.values()), "source_risk").criteria["source_risk"] == max(
        one.criteria["source_risk"] for one in tried.values()
    )


def test_layers_are_the_fits_they_are_said_to_be(tried):
    for name, move in (("scale", scale), ("coral", coral)):
        moved = move(SOURCE[0], TARGET[0])
        expected = fit_layer(moved, SOURCE[1], moved, SOURCE[1], CLASSES, l2=tried[name].about["l2"])
        said, wanted = (scipy.special.softmax(one.logits(TEST[0]), 1) for one in (tried[name], expected))
        np.testing.assert_allclose(said, wanted, atol=5e-3)


def test_weightings_tell_their_effective_sample_size(tried):
    for name in ("kmm", "kliep", "density_ratio", "tradaboost"):
        assert 1 <= tried[name].about["effective_sample_size"] <= len(SOURCE[0])
    assert "objective" in tried["kmm"].about and "errors" in tried["tradaboost"].about


def test_the_same_rows_give_the_same_bits_and_labels_change_nothing_that_reads_none(tried):
    without = try_methods(*SOURCE, *VALIDATION, TARGET[0])
    assert [one.name for one in without] == list(WITHOUT_LABELS)
    other = try_methods(*SOURCE, *VALIDATION, TARGET[0], (TARGET[1] + 1) % 3, methods=WITHOUT_LABELS)
    for first, second in zip(without, other, strict=True):
        before = tried[first.name]
        for again in (first, second):
            assert again.weight.tobytes() == before.weight.tobytes()
            assert again.bias.tobytes() == before.bias.tobytes()
            assert again.criteria == before.criteria and again.about == before.about


def test_few_target_labels_are_read_and_the_others_are_not():
    few = np.where(np.arange(200) < 40, TARGET[1], -1)
    found = try_methods(*SOURCE, *VALIDATION, TARGET[0], few, methods=["target_only", "tradaboost"])
    alone = try_methods(*SOURCE, *VALIDATION, TARGET[0][:40], TARGET[1][:40], methods=["target_only"])
    np.testing.assert_array_equal(found[0].weight, alone[0].weight)
    assert accuracy(found[1]) > 0.85


def test_a_method_that_cannot_be_is_left_out_aloud_or_refused():
    said = []
    # Labels turned round: no learner on both domains gets half of the target right.
    far = try_methods(*SOURCE, *VALIDATION, SOURCE[0][:20], (SOURCE[1][:20] + 1) % 3, say=said.append)
    assert "tradaboost" not in [one.name for one in far]
    assert said == [line for line in said if line.startswith("tradaboost was left out: ")] and len(said) == 1
    with pytest.raises(UserError, match="no better than a coin"):
        try_methods(*SOURCE, *VALIDATION, SOURCE[0][:20], (SOURCE[1][:20] + 1) % 3, methods=["tradaboost"])
    with pytest.raises(UserError, match="tradaboost needs labelled target rows; without them use one of source_only"):
        try_methods(*SOURCE, *VALIDATION, TARGET[0], methods=["tradaboost"])
    with pytest.raises(UserError, match="target_only needs labelled"):
        try_methods(*SOURCE, *VALIDATION, TARGET[0], np.full(200, -1), methods=["target_only"])
    with pytest.raises(UserError, match="unknown method 'magic'; allowed: source_only"):
        try_methods(*SOURCE, *VALIDATION, TARGET[0], methods=["magic"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(target=TARGET[0][:, 1:]), "same backbone"),
        (dict(source_labels=SOURCE[1][1:]), r"source labels have the shape \(239,\)"),
        (dict(source_labels=SOURCE[1] / 2), "one class id"),
        (dict(source_labels=SOURCE[1] - 1), "source label is below 0"),
        (dict(source_labels=np.zeros(240, int)), "all source labels are 0"),
        (dict(source_validation_labels=VALIDATION[1] + 1), "go up to 3, but those learnt from only to 2"),
        (dict(target_labels=TARGET[1] + 1), "target labels go from 1 to 3; allowed: class ids of the source, 0 to 2"),
        (dict(target_labels=TARGET[1] - 2), "target labels go from -2 to 0"),
    ],
)
def test_rows_that_do_not_fit_are_told(change, message):
    fields = dict(
        source=SOURCE[0], source_labels=SOURCE[1], source_validation=VALIDATION[0],
        source_validation_labels=VALIDATION[1], target=TARGET[0],
    )  # fmt: skip
    with pytest.raises(UserError, match=message):
        try_methods(**{**fields, **change})


def test_a_criterion_must_be_one_and_something_must_have_been_tried(tried):
    with pytest.raises(UserError, match="criterion is 'accuracy'; allowed: source_risk"):
        choose(list(tried.values()), "accuracy")
    with pytest.raises(UserError, match="no method was tried"):
        choose([])


# ---------------------------------------------------------------------------------------------------------------------
# Self-training


def test_the_most_certain_rows_of_each_class_are_taken():
    logits = np.array([[5, 0], [1, 0], [3, 0], [2, 0], [0, 1], [0, 9.0]])
    chosen, labels = certain_rows(logits, 0.5)
    assert chosen.tolist() == [0, 2, 5] and labels.tolist() == [0, 0, 1]
    assert certain_rows(logits, 0.01)[0].tolist() == [0, 5]  # rounded up: one of each
    assert certain_rows(logits, 1.0)[0].tolist() == list(range(6))


def test_self_training_follows_the_target_and_both_domains_count_alike(monkeypatch):
    from hf_transfer.adaptation import self_training

    seen = []
    fit = self_training.fit_layer
    monkeypatch.setattr(self_training, "fit_layer", lambda *words, **named: seen.append(words) or fit(*words, **named))
    half = (TARGET[0] * 0.5).astype("f4")
    start = fit_layer(*SOURCE, *VALIDATION, CLASSES)
    self_train(start, *SOURCE, half, *VALIDATION, rounds=4)
    assert len(seen) == 4
    sizes = [len(words[0]) - 240 for words in seen]
    assert sizes == sorted(sizes) and sizes[-1] == 200 and 50 <= sizes[0] <= 53
    for words in seen:
        weights = words[5]
        assert weights[:240].sum() == pytest.approx(weights[240:].sum())
        assert np.array_equal(words[1][:240], SOURCE[1])


def test_self_training_moves_a_boundary_off_the_rows():
    """Two clouds, of which the target's are turned by 30 degrees: the boundary goes after them."""
    random = np.random.default_rng(4)
    labels = random.integers(0, 2, 400)
    rows = np.stack([6.0 * labels - 3, np.zeros(400)], 1) + random.normal(size=(400, 2)) * [0.7, 3]
    angle = np.pi / 4
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    source, target = rows[:200].astype("f4"), (rows[200:] @ turn).astype("f4")
    start = fit_layer(source, labels[:200], source, labels[:200], 2, l2=0.1)
    end = self_train(start, source, labels[:200], target, source, labels[:200])
    before, after = ((one.logits(target).argmax(1) == labels[200:]).mean() for one in (start, end))
    assert before < 0.95 and after > before + 0.02
    assert isinstance(end, Layer) and end.l2 == start.l2
