"""The quasi-Newton fit of a linear head, against scikit-learn's solutions of the same problem."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from hf_transfer.errors import UserError
from hf_transfer.linear import fit as fitting
from hf_transfer.linear import rows
from hf_transfer.linear.fit import GRID, fit_linear, fit_on_main
from hf_transfer.objectives import Supervised

WIDTH = 12


def draw(rows: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of unlike scales and means, whose classes overlap, so that a weak penalty has a solution too."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    centres = np.random.default_rng(99).normal(size=(classes, WIDTH))
    features = centres[labels] + 1.5 * random.normal(size=(rows, WIDTH))
    features = features * np.geomspace(0.3, 3, WIDTH) + np.linspace(-1, 4, WIDTH)
    return features.astype(np.float32), labels


TRAIN, VALIDATION = draw(300), draw(120, seed=1)
SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


def fit(objective=None, train=TRAIN, validation=VALIDATION, outputs: int = 3, **settings) -> tuple[nn.Linear, dict]:
    layer = nn.Linear(train[0].shape[1], outputs)
    outcome = fit_linear(layer, *train, *validation, objective or Supervised().build(SINGLE), **settings)
    return layer, outcome


def scaled(features: np.ndarray) -> np.ndarray:
    """What the penalty acts on, by the docstring's words, in NumPy."""
    deviation = features.std(0, dtype=np.float64)
    return (features - features.mean(0, dtype=np.float64)) / np.maximum(deviation, np.sqrt((deviation**2).mean()))


def probabilities(layer: nn.Linear, features: np.ndarray) -> np.ndarray:
    return layer(torch.from_numpy(features)).softmax(-1).detach().numpy()


# ---------------------------------------------------------------------------------------------------------------------
# The same solution


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("classes", [2, 3])
def test_classes_as_logistic_regression(l2, classes):
    train = draw(300, classes)
    layer, outcome = fit(train=train, validation=draw(90, classes, seed=1), outputs=classes, l2=l2)
    # Softmax with two weight vectors of half the length each: its penalty is half that of one vector.
    strength = 1 / (l2 * len(train[0])) * (2 if classes == 2 else 1)
    model = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(scaled(train[0]), train[1])
    expected = model.predict_proba(scaled(train[0]))
    assert outcome["converged"] and outcome["l2"] == l2
    np.testing.assert_allclose(probabilities(layer, train[0]), expected, atol=1e-3)
    loss = -np.log(expected[np.arange(300), train[1]]).mean()
    assert outcome["train_loss"] == pytest.approx(loss, abs=1e-4)


def test_the_weights_are_those_of_raw_features():
    layer, _ = fit(l2=0.01)
    model = LogisticRegression(C=1 / (0.01 * 300), tol=1e-8, max_iter=5000).fit(scaled(TRAIN[0]), TRAIN[1])
    deviation = TRAIN[0].std(0, dtype=np.float64)
    divisor = np.maximum(deviation, np.sqrt((deviation**2).mean()))
    np.testing.assert_allclose(layer.weight.detach().numpy(), model.coef_ / divisor, atol=1e-3)


def test_features_of_one_scale_need_no_scaling_to_compare():
    """Orthonormal columns without a mean have one standard deviation: the penalty is C of the raw features."""
    raw = np.linalg.qr(TRAIN[0] - TRAIN[0].mean(0))[0]
    raw = (raw - raw.mean(0)).astype(np.float32)
    layer, _ = fit(train=(raw, TRAIN[1]), validation=(raw, TRAIN[1]), l2=0.1)
    # ||W * s||^2 of the scaled features' weights, for raw weights W and the standard deviation s = 1 / sqrt(rows).
    deviation = np.sqrt(raw.var(0).mean())
    model = LogisticRegression(C=1 / (0.1 * deviation**2 * 300), tol=1e-8, max_iter=5000).fit(raw, TRAIN[1])
    # A gradient of 5e-6 at a curvature of 0.1 leaves scaled weights, of 0.1 to 0.5, uncertain by a few 1e-4.
    np.testing.assert_allclose(layer.weight.detach().numpy() * deviation, model.coef_ * deviation, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
@pytest.mark.parametrize("l2", [10.0, 0.1, 0.0])
def test_regression_as_ridge_whatever_the_targets_are_counted_in(scale, l2):
    targets = (scale * (TRAIN[0] @ np.arange(WIDTH) + 50 + 5 * np.random.default_rng(2).normal(size=300))).astype("f4")
    objective = Supervised().build(REGRESSION)
    part = (TRAIN[0], targets)
    layer, outcome = fit(objective, part, part, outputs=1, l2=l2)
    expected = Ridge(alpha=l2 * 300 / 2, tol=1e-10).fit(scaled(TRAIN[0]), targets).predict(scaled(TRAIN[0]))
    assert outcome["converged"]
    found = layer(torch.from_numpy(TRAIN[0])).squeeze(-1).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=3e-4 * targets.std())
    assert outcome["train_loss"] == pytest.approx(((expected - targets) ** 2).mean(), rel=1e-4)


def test_class_weights_as_sample_weights():
    class_weights = [0.2, 1.0, 4.0]
    layer, _ = fit(Supervised().build(SINGLE, class_weights), l2=0.01)
    weights = np.array(class_weights)[TRAIN[1]]
    model = LogisticRegression(C=1 / (0.01 * weights.sum()), tol=1e-8, max_iter=5000)
    expected = model.fit(scaled(TRAIN[0]), TRAIN[1], sample_weight=weights).predict_proba(scaled(TRAIN[0]))
    np.testing.assert_allclose(probabilities(layer, TRAIN[0]), expected, atol=1e-3)
    assert np.abs(probabilities(layer, TRAIN[0]) - probabilities(fit(l2=0.01)[0], TRAIN[0])).max() > 0.1


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_several_labels_as_one_regression_each(smoothing):
    labels = np.stack([TRAIN[1] == 0, TRAIN[1] >= 1, TRAIN[0][:, 0] > -1], 1).astype("f4")
    part = (TRAIN[0], labels)
    layer, _ = fit(Supervised().build(MULTI, None, smoothing), part, part, l2=0.01)
    found = layer(torch.from_numpy(TRAIN[0])).sigmoid().detach().numpy()
    for column in range(3):
        # A row's labels are averaged, so each one's loss counts a third; a smoothed label is a share of both classes.
        rows = np.concatenate([scaled(TRAIN[0])] * 2)
        share = labels[:, column] * (1 - smoothing) + smoothing / 2
        model = LogisticRegression(C=1 / (0.01 * 300 * 3), tol=1e-8, max_iter=5000)
        model.fit(rows, np.repeat([1, 0], 300), sample_weight=np.concatenate([share, 1 - share]))
        np.testing.assert_allclose(found[:, column], model.predict_proba(scaled(TRAIN[0]))[:, 1], atol=1e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_nothing_is_left_of_the_gradient(smoothing):
    """By autograd over everything, on the raw layer, with weights and smoothing at once."""
    objective = Supervised().build(SINGLE, [0.5, 1.0, 2.0], smoothing)
    layer, outcome = fit(objective, l2=0.05)
    features, labels = torch.from_numpy(TRAIN[0]), torch.from_numpy(TRAIN[1])
    layer = layer.double()
    deviation = features.double().std(0, correction=0)
    divisor = deviation.clamp(min=float(deviation.square().mean().sqrt()))
    loss = objective(layer(features.double()), labels) / objective.row_weights(labels).sum()
    assert outcome["train_loss"] == pytest.approx(loss.item(), abs=1e-5)
    (loss + 0.05 / 2 * (layer.weight * divisor).square().sum()).backward()
    assert (layer.weight.grad / divisor).abs().max() < 1e-4  # by scaled weights, as the penalty
    assert layer.bias.grad.abs().max() < 1e-4


# ---------------------------------------------------------------------------------------------------------------------
# Where the rows are


def bits(layer: nn.Linear) -> bytes:
    return layer.weight.detach().numpy().tobytes() + layer.bias.detach().numpy().tobytes()


def test_blocks_memory_maps_and_tensors_give_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 64 * WIDTH * 4)  # 300 rows in blocks of 64, the last one shorter
    resident, said = fit()
    np.save(tmp_path / "train.npy", TRAIN[0])
    mapped = (np.load(tmp_path / "train.npy", mmap_mode="r"), TRAIN[1])
    reads = []
    read = rows._read
    monkeypatch.setattr(rows, "_read", lambda *words: reads.append(words) or read(*words))
    for train, limit in (
        (TRAIN, 0),
        (mapped, 0),
        (mapped, 2**30),
        (tuple(map(torch.from_numpy, TRAIN)), 0),
        (tuple(map(torch.from_numpy, TRAIN)), 2**30),
    ):
        reads.clear()
        layer, outcome = fit(train=train, resident_bytes=limit)
        assert bits(layer) == bits(resident)
        assert outcome == said
        # Twice through both splits when they stay (scale, then keep); in every iteration when they do not.
        assert (len(reads) > 5 * outcome["iterations"]) == (limit == 0)
    monkeypatch.undo()
    whole, _ = fit()
    np.testing.assert_allclose(probabilities(whole, TRAIN[0]), probabilities(resident, TRAIN[0]), atol=1e-3)


def test_the_same_rows_give_the_same_bits_whatever_the_layer_held():
    before = torch.get_rng_state()
    first, said = fit(l2=0.01)
    torch.manual_seed(123)
    second, again = fit(l2=0.01)
    assert bits(first) == bits(second) and said == again
    torch.set_rng_state(before)
    fit_linear(first, *TRAIN, *VALIDATION, Supervised().build(SINGLE), l2=0.01)
    assert bits(first) == bits(second)


def test_columns_that_hardly_vary_are_not_blown_up():
    features, held_out = (part[0].copy() for part in (TRAIN, VALIDATION))
    features[:, 0], features[:, 1] = 0.7, 1e-30 * TRAIN[1]  # rounding that happens to know the class
    features[:, 2] = 0
    held_out[:, 0] = 0.7
    layer, outcome = fit(train=(features, TRAIN[1]), validation=(held_out, VALIDATION[1]))
    assert outcome["converged"] and layer.weight.abs().max() < 100
    assert layer.weight[:, [0, 1, 2]].abs().max() < 1e-6
    flat = (np.full((30, 4), 2.5, dtype="f4"), TRAIN[1][:30])
    layer, _ = fit(train=flat, validation=flat)
    shares = np.bincount(flat[1], minlength=3) / 30
    np.testing.assert_allclose(probabilities(layer, flat[0]), np.tile(shares, (30, 1)), atol=1e-3)


def test_autocast_and_grad_mode_of_the_caller_do_not_matter():
    plain, _ = fit(l2=0.01)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        other, _ = fit(l2=0.01)
    assert bits(plain) == bits(other)
    try:
        for low in ("medium", "highest"):
            torch.set_float32_matmul_precision(low)
            assert bits(fit(l2=0.01)[0]) == bits(plain)
            assert torch.get_float32_matmul_precision() == low
        torch.backends.cuda.matmul.fp32_precision = "tf32"  # as transformers does; the two ways do not mix
        assert bits(fit(l2=0.01)[0]) == bits(plain)
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_products_are_exact_while_it_fits(monkeypatch):
    """What a GPU would round by is set aside during the fit; on a CPU only the setting can be seen."""
    seen = []
    scale = fitting.measure_scale
    monkeypatch.setattr(
        fitting,
        "measure_scale",
        lambda *words: seen.append(torch.backends.cuda.matmul.fp32_precision) or scale(*words),
    )
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        fit(l2=0.01)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["ieee"]


# ---------------------------------------------------------------------------------------------------------------------
# The penalty


def test_a_small_fit_is_made_on_one_thread(monkeypatch):
    set_to, before = [], torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    fit(l2=1.0)
    assert set_to == [1, before]
    monkeypatch.setattr("hf_transfer.threads.SMALL", 1)
    fit(l2=1.0)
    assert set_to == [1, before, before]


def test_the_penalty_is_chosen_on_the_validation_rows():
    few = tuple(part[:40] for part in TRAIN)
    layer, outcome = fit(train=few)
    tried, losses = zip(*outcome["grid"], strict=True)
    assert tried == GRID[: len(tried)] and 4 <= len(tried) < len(GRID)
    best = losses.index(min(losses))
    assert outcome["l2"] == tried[best] and outcome["validation_loss"] == losses[best]
    assert tried[0] > outcome["l2"] > tried[-1]  # an optimum inside, with enough beyond it to be sure
    logits = layer(torch.from_numpy(VALIDATION[0]))
    expected = nn.functional.cross_entropy(logits, torch.from_numpy(VALIDATION[1])).item()
    assert outcome["validation_loss"] == pytest.approx(expected, abs=1e-5)
    for l2, loss in outcome["grid"]:  # the warm-started fits of the path are those that start from nothing
        assert fit(train=few, l2=l2)[1]["validation_loss"] == pytest.approx(loss, rel=0.02)
    assert np.array_equal(fit(train=few, l2=outcome["l2"])[1]["grid"][0][0], outcome["l2"])


def test_a_chosen_penalty_ends_where_a_given_one_does():
    chosen, outcome = fit()
    given, said = fit(l2=outcome["l2"])
    np.testing.assert_allclose(probabilities(chosen, TRAIN[0]), probabilities(given, TRAIN[0]), atol=1e-3)
    assert said["grid"] == [[outcome["l2"], said["validation_loss"]]]


def test_a_fit_that_has_not_converged_says_so(monkeypatch):
    assert "note" not in fit(l2=0.01)[1]
    monkeypatch.setattr(fitting, "MAX_ITERATIONS", 2)
    outcome = fit(l2=1e-6)[1]
    assert outcome["converged"] is False
    assert "not converged after 4 iterations" in outcome["note"] and "head.l2" in outcome["note"]


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_told(split, value):
    parts = {"train": TRAIN, "validation": VALIDATION}
    features = parts[split][0].copy()
    features[7, 3] = value
    with pytest.raises(UserError, match=f"the {split} split.*not finite"):
        fit(**{**parts, split: (features, parts[split][1])})


def test_rows_and_labels_must_match():
    with pytest.raises(UserError, match="validation split has 0 rows"):
        fit(validation=(VALIDATION[0][:0], VALIDATION[1][:0]))
    with pytest.raises(UserError, match="300 rows of features and 299 labels"):
        fit(train=(TRAIN[0], TRAIN[1][1:]))
    with pytest.raises(UserError, match="bias.*head.fit to sgd"):
        fit_linear(nn.Linear(WIDTH, 3, bias=False), *TRAIN, *VALIDATION, Supervised().build(SINGLE))


# ---------------------------------------------------------------------------------------------------------------------
# One rank; two are in tests/distributed


def test_a_lone_process_just_fits():
    from accelerate import PartialState

    layer = nn.Linear(WIDTH, 3)
    outcome = fit_on_main(
        PartialState(), layer, lambda: fit_linear(layer, *TRAIN, *VALIDATION, Supervised().build(SINGLE), l2=0.01)
    )
    expected, said = fit(l2=0.01)
    assert outcome == said and bits(layer) == bits(expected)


# ---------------------------------------------------------------------------------------------------------------------
# Weights of rows

WEIGHTS = np.random.default_rng(5).exponential(size=len(TRAIN[0]))


@pytest.mark.parametrize("class_weights", [None, [0.2, 1.0, 4.0]])
def test_weights_of_rows_as_sample_weights(class_weights):
    layer, outcome = fit(Supervised().build(SINGLE, class_weights), l2=0.01, train_weights=WEIGHTS)
    weights = WEIGHTS if class_weights is None else WEIGHTS * np.array(class_weights)[TRAIN[1]]
    model = LogisticRegression(C=1 / (0.01 * weights.sum()), tol=1e-8, max_iter=5000)
    expected = model.fit(scaled(TRAIN[0]), TRAIN[1], sample_weight=weights).predict_proba(scaled(TRAIN[0]))
    np.testing.assert_allclose(probabilities(layer, TRAIN[0]), expected, atol=1e-3)
    losses = -np.log(expected[np.arange(300), TRAIN[1]])
    assert outcome["train_loss"] == pytest.approx(np.average(losses, weights=weights), abs=1e-4)
    plain, _ = fit(Supervised().build(SINGLE, class_weights), l2=0.01)
    assert np.abs(probabilities(layer, TRAIN[0]) - probabilities(plain, TRAIN[0])).max() > 0.05


def test_weights_of_rows_in_a_ridge():
    targets = (TRAIN[0] @ np.arange(WIDTH) + 5 * np.random.default_rng(2).normal(size=300)).astype("f4")
    part = (TRAIN[0], targets)
    layer, _ = fit(Supervised().build(REGRESSION), part, part, outputs=1, l2=0.1, train_weights=WEIGHTS)
    model = Ridge(alpha=0.1 * WEIGHTS.sum() / 2, tol=1e-10).fit(scaled(TRAIN[0]), targets, sample_weight=WEIGHTS)
    found = layer(torch.from_numpy(TRAIN[0])).squeeze(-1).detach().numpy()
    np.testing.assert_allclose(found, model.predict(scaled(TRAIN[0])), atol=3e-4 * targets.std())


def test_weights_of_validation_rows_choose_the_penalty():
    few = tuple(part[:40] for part in TRAIN)
    half = np.arange(120) < 60
    weighted = fit(train=few, validation_weights=half * 3.0)[1]
    expected = fit(train=few, validation=tuple(part[half] for part in VALIDATION))[1]
    assert weighted["l2"] == expected["l2"]
    np.testing.assert_allclose(weighted["grid"], expected["grid"], rtol=1e-6)
    assert weighted["validation_loss"] != pytest.approx(fit(train=few)[1]["validation_loss"], rel=1e-3)


def test_only_the_proportions_of_weights_count():
    _, said = fit(l2=0.01, train_weights=WEIGHTS, validation_weights=np.full(120, 0.25))
    _, again = fit(l2=0.01, train_weights=8 * WEIGHTS)
    assert said == again
    ones, told = fit(l2=0.01, train_weights=np.ones(300))
    plain, expected = fit(l2=0.01)
    np.testing.assert_allclose(probabilities(ones, TRAIN[0]), probabilities(plain, TRAIN[0]), atol=1e-4)
    assert told["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-6)


def test_weights_are_read_block_by_block(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK_BYTES", 64 * WIDTH * 4)
    resident, said = fit(l2=0.01, train_weights=WEIGHTS)
    layer, outcome = fit(l2=0.01, train_weights=WEIGHTS, resident_bytes=0)
    assert bits(layer) == bits(resident) and outcome == said
    monkeypatch.undo()
    np.testing.assert_allclose(
        fit(l2=0.01, train_weights=WEIGHTS)[0].weight.detach(), layer.weight.detach(), atol=1e-3
    )


@pytest.mark.parametrize("weights", [np.full(300, -1.0), np.zeros(300), np.full(300, np.nan), np.full(300, np.inf)])
def test_what_is_no_weight_is_told(weights):
    with pytest.raises(UserError, match="train split's weights must be finite numbers, none below 0 and one above it"):
        fit(train_weights=weights)
    with pytest.raises(UserError, match=r"validation split has 120 rows and weights of the shape \(3,\)"):
        fit(validation_weights=np.ones(3))
