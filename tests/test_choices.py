"""What a run decides by itself, precision and fit, is shown, written down, and can be overruled."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    LinearHead,
    LSTMHead,
    NativeHead,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
    precision,
    run,
)
from hf_transfer.features import cache


@pytest.fixture
def recipe(mini_text, reviews, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "cache"))
    return Recipe(
        summary="a test",
        data=TextClassification(str(reviews), text="body", label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32, pooling="mean"),
        head=LinearHead(),
        strategy=FrozenFeatures(),
    )


@pytest.fixture
def bf16_is_faster(monkeypatch):
    """A table of this test's own, so that the machine decides nothing."""
    here = precision.device_kind("cuda" if torch.cuda.is_available() else "cpu")
    rows = tuple(
        dict(device=here, phase=phase, kind=kind, size=16, float32_per_s=1.0, bfloat16_per_s=2.0, speedup=2.0)
        for phase in ("features", "train")
        for kind in ("encoder", "lstm")
    )
    monkeypatch.setattr(precision, "read_table", lambda: rows)


def recorded_dtypes() -> set[str]:
    return {entry.about["dtype"] for entry in cache.entries()}


# ---------------------------------------------------------------------------------------------------------------------
# Precision


def test_the_faster_precision_is_taken_shown_and_written_down(recipe, tmp_path, bf16_is_faster, capsys):
    recipe = replace(recipe, head=LSTMHead(4, 1), training=dict(max_steps=4))
    result = run(recipe, tmp_path / "out")
    shown = capsys.readouterr().out
    assert "dtype      features: bfloat16 (2.0 times float32 here by the committed table)" in shown
    assert "dtype      train: bfloat16 (2.0 times float32 here by the committed table)" in shown
    assert recorded_dtypes() == {"bfloat16"}
    environment = result.data["environment"]
    assert (environment["dtype"], environment["features_dtype"]) == ("bfloat16", "bfloat16")
    weights = load_file(tmp_path / "out/model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_a_backbone_that_trains_has_one_precision(recipe, tmp_path, bf16_is_faster):
    recipe = replace(recipe, head=NativeHead(), strategy=FullFineTune(), training=dict(max_steps=2))
    fast, exact = run(recipe, tmp_path / "fast"), run(recipe, tmp_path / "exact", dtype="float32")
    environments = [result.data["environment"] for result in (fast, exact)]
    assert [one["dtype"] for one in environments] == ["bfloat16", "float32"]
    assert [one["features_dtype"] for one in environments] == [None, None]
    losses = [result.metrics["test"]["loss"] for result in (fast, exact)]
    assert losses[0] == pytest.approx(losses[1], abs=0.05) and losses[0] != losses[1]


def test_asking_overrules_the_table(recipe, tmp_path, bf16_is_faster):
    recipe = replace(recipe, head=LSTMHead(4, 1), training=dict(max_steps=2))
    result = run(recipe, tmp_path / "out", dtype="float32")
    assert recorded_dtypes() == {"float32"} and result.data["environment"]["dtype"] == "float32"


def test_without_a_measurement_it_is_float32_and_says_so(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(precision, "read_table", lambda: ())
    assert run(recipe, tmp_path / "out").data["environment"]["features_dtype"] == "float32"
    assert "no measurement for" in capsys.readouterr().out


def test_two_words_on_precision_are_one_too_many(recipe, tmp_path):
    recipe = replace(recipe, training=dict(bf16=True))
    with pytest.raises(UserError, match="--dtype float32 and training.bf16 both say how to train"):
        run(recipe, tmp_path / "out", dtype="float32")
    with pytest.raises(UserError, match="'half'; allowed: auto, float32, bfloat16"):
        run(replace(recipe, training={}), tmp_path / "out", dtype="half")


def test_a_stopped_run_goes_on_in_its_own_precision_only(recipe, tmp_path, bf16_is_faster):
    recipe = replace(recipe, head=LSTMHead(4, 1), training=dict(max_steps=2))
    run(recipe, tmp_path / "out", keep_checkpoints=True)
    for name in ("results.json", "config.json"):  # as if it had been stopped before its end
        (tmp_path / "out" / name).unlink()
    with pytest.raises(UserError, match="dtypes.*was 'bfloat16' and is now 'float32'"):
        run(recipe, tmp_path / "out", resume=True, dtype="float32")


# ---------------------------------------------------------------------------------------------------------------------
# Fit


def test_a_linear_head_on_frozen_features_is_solved_for(recipe, tmp_path, capsys):
    # Words are counted exactly; a random encoder would blur them.
    recipe = replace(recipe, backbone=replace(recipe.backbone, embeddings_only=True))
    result = run(recipe, tmp_path / "out")
    fit = result.data["fit"]
    assert fit["fit"] == "lbfgs" and fit["converged"] and fit["l2"] in [l2 for l2, _ in fit["grid"]]
    shown = capsys.readouterr().out
    assert "fit        L-BFGS on all rows at once" in shown
    assert f"L-BFGS: {fit['iterations']} iterations" in shown
    assert result.beats_baseline()
    assert not (tmp_path / "out/checkpoints").exists()


def test_the_strength_of_its_penalty_can_be_set(recipe, tmp_path):
    weak, strong = (run(replace(recipe, head=LinearHead(l2=l2)), tmp_path / str(l2)).data["fit"] for l2 in (1e-4, 1e2))
    assert (weak["l2"], strong["l2"]) == (1e-4, 1e2) and weak["train_loss"] < 0.8 * strong["train_loss"]


def test_a_field_of_gradient_descent_asks_for_it(recipe, tmp_path, capsys):
    result = run(replace(recipe, training=dict(num_train_epochs=2)), tmp_path / "out")
    assert result.data["fit"]["fit"] == "sgd" and result.data["throughput"]["train_samples_per_s"] > 0
    assert "epoch 2/2" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(training=dict(learning_rate=0.1)), "head.fit is 'lbfgs', but training.learning_rate"),
        (dict(strategy=FullFineTune()), "head.fit is 'lbfgs', but strategy FullFineTune"),
    ],
)
def test_lbfgs_and_what_stands_against_it(changes, message, recipe, tmp_path):
    with pytest.raises(UserError, match=message):
        run(replace(recipe, head=LinearHead(fit="lbfgs"), **changes), tmp_path / "out")


def test_without_room_for_features_lbfgs_has_nothing_to_read(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TRANSFER_CACHE_GB", "0")
    with pytest.raises(UserError, match="head.fit is 'lbfgs', but the features are larger than the cache may be"):
        run(replace(recipe, head=LinearHead(fit="lbfgs")), tmp_path / "out")
    result = run(recipe, tmp_path / "out", max_steps=2)
    assert result.data["fit"]["fit"] == "sgd"
    assert "the frozen backbone runs in every epoch" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------------------------
# Where the time went


def test_a_run_ends_with_where_its_time_went(recipe, tmp_path, capsys):
    timing = run(recipe, tmp_path / "out").data["timing"]
    phases = ["load_s", "tokenise_s", "features_s", "train_s", "save_s", "evaluate_s", "total_s"]
    assert list(timing) == phases
    assert sum(timing[phase] for phase in phases[:-1]) == pytest.approx(timing["total_s"], rel=0.2)
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("time ")]
    assert all(word in line for word in ("load", "tokenise", "features", "train"))


def test_a_second_run_computes_no_features(recipe, tmp_path):
    first = run(replace(recipe, head=LSTMHead(4, 1), training=dict(max_steps=1)), tmp_path / "a")
    second = run(recipe, tmp_path / "b")
    assert first.data["throughput"]["features_per_s"] > 0
    assert second.data["throughput"]["features_per_s"] is None
