"""One recipe under several seeds: what is told, what is kept, and going on after a stop."""

import inspect
import json
import math
import os
import signal
import statistics
from dataclasses import replace

import pytest

from hf_transfer import (
    FrozenFeatures,
    LinearHead,
    LSTMHead,
    Recipe,
    RunResult,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
    seeds,
)
from hf_transfer.hub_push import pushable
from hf_transfer.ranking import rank
from hf_transfer.seeds import Interrupted, run_seeds, summarise


@pytest.fixture
def recipe(mini_text, reviews):
    return Recipe(
        summary="a test",
        data=TextClassification(str(reviews), text="body", label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LSTMHead(hidden_size=4, num_layers=1),
        strategy=FrozenFeatures(),
        training=dict(learning_rate=1e-2, num_train_epochs=1, per_device_train_batch_size=8),
    )


@pytest.fixture
def done(monkeypatch):
    """The seeds that were run; `done.stop_at` stops before one of them."""

    class Seen(list):
        stop_at = None

    seen = Seen()

    def watched(*args, **kwargs):
        if kwargs["seed"] == seen.stop_at:
            raise KeyboardInterrupt
        seen.append(kwargs["seed"])
        return run(*args, **kwargs)

    watched.__signature__ = inspect.signature(run)
    monkeypatch.setattr(seeds, "run", watched)
    return seen


def measured(result: RunResult) -> list[dict]:
    return [one["metrics"] for one in result.data["seeds"]["runs"]]


def test_the_summary_is_that_of_a_sample():
    metrics = [{"test": {"accuracy": value, "auc": 0.5}} for value in (0.8, 0.9, 1.0)]
    spread = summarise(metrics)["test"]["accuracy"]
    assert spread == pytest.approx({"mean": 0.9, "std": math.sqrt((0.01 + 0 + 0.01) / 2), "min": 0.8, "max": 1.0})
    del metrics[1]["test"]["auc"]  # undefined there
    assert list(summarise(metrics)["test"]) == ["accuracy"]
    assert summarise(metrics[:1])["test"]["accuracy"] == {"mean": 0.8, "std": None, "min": 0.8, "max": 0.8}


def test_several_seeds_are_told_and_the_best_on_validation_is_kept(recipe, done, tmp_path, capsys):
    out = tmp_path / "out"
    result = run_seeds(recipe, out, 3, name="text/x", seed=7)
    assert done == [7, 8, 9]
    told = result.data["seeds"]
    runs = {one["seed"]: one for one in told["runs"]}
    assert list(runs) == [7, 8, 9]
    assert len({one["metrics"]["test"]["loss"] for one in runs.values()}) == 3
    assert len({one["data"]["fingerprint"] for one in runs.values()}) == 1
    # Features are recorded once, for the first of them at most.
    assert all(runs[seed]["throughput"]["features_per_s"] is None for seed in (8, 9))

    best = max(runs.values(), key=lambda one: rank(one["metrics"]["validation"], one["problem_type"]))
    assert told["kept"] == result.data["seed"] == best["seed"] and result.metrics == best["metrics"]
    values = [one["metrics"]["test"]["accuracy"] for one in runs.values()]
    assert told["summary"]["test"]["accuracy"] == pytest.approx(
        {"mean": statistics.mean(values), "std": statistics.stdev(values), "min": min(values), "max": max(values)}
    )
    assert {path.name for path in out.iterdir()} == set(result.data["files"])
    card = (out / "README.md").read_text()
    assert card.index("3 seeds") < card.index("## How to load it") and f"this is seed {told['kept']}" in card
    said = capsys.readouterr().out
    assert "kept: seed" in said and "The model is in" not in said  # the folders of the seeds go away
    assert load(out).predict(["a fine film"])[0].label in ("good", "bad")

    assert set(pushable(out)) == set(result.data["files"])

    alone = run(recipe, tmp_path / "alone", seed=told["kept"])
    assert (alone.metrics, alone.data["per_class"]) == (result.metrics, result.data["per_class"])
    assert json.loads((out / "recipe.json").read_text())["training"]["seed"] == told["kept"]


def test_a_stopped_row_of_seeds_goes_on_where_it_was(recipe, done, tmp_path):
    out = tmp_path / "out"
    whole = run_seeds(recipe, tmp_path / "whole", 3)
    done.clear()
    done.stop_at = 44
    with pytest.raises(Interrupted, match="2 of 3 seeds are done.*--resume"):
        run_seeds(recipe, out, 3)
    assert done == [42, 43]
    with pytest.raises(UserError, match="not empty.*--resume continues it"):
        run_seeds(recipe, out, 3)
    with pytest.raises(UserError, match="training.learning_rate was 0.01 and is now 0.5"):
        run_seeds(recipe, out, 3, resume=True, learning_rate=0.5)
    done.stop_at = None
    done.clear()
    path = out / "checkpoints/seeds/seed-42/results.json"
    before = path.read_text()
    path.write_text(before.replace(whole.data["data"]["fingerprint"], "another"))
    with pytest.raises(UserError, match="the data changed between the seeds"):
        run_seeds(recipe, out, 3, resume=True)
    path.write_text(before)
    done.clear()
    result = run_seeds(recipe, out, 3, resume=True)
    assert done == []  # the third was done in the attempt before
    assert measured(result) == measured(whole)
    assert not (out / "checkpoints").exists()


def test_a_seed_that_was_stopped_goes_on_from_its_checkpoint(recipe, done, tmp_path, monkeypatch):
    from hf_transfer.callbacks import StopOnSignal

    recipe, out = replace(recipe, training={**recipe.training, "num_train_epochs": 3}), tmp_path / "out"
    whole = run_seeds(recipe, tmp_path / "whole", 2)
    on_step_end = StopOnSignal.on_step_end

    def interrupt(self, args, state, control, **kwargs):
        if args.seed == 43 and state.global_step == 14:
            os.kill(os.getpid(), signal.SIGINT)
        return on_step_end(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", interrupt)
        with pytest.raises(Interrupted, match=f"1 of 2 seeds are done.*--output_dir {out} --resume"):
            run_seeds(recipe, out, 2)
    assert (out / "checkpoints/seeds/seed-43/checkpoints/checkpoint-14").is_dir()
    steps = []

    def note(self, args, state, control, **kwargs):
        steps.append(state.global_step)
        return on_step_end(self, args, state, control, **kwargs)

    monkeypatch.setattr(StopOnSignal, "on_step_end", note)
    result = run_seeds(recipe, out, 2, resume=True)
    assert steps[0] == 15
    assert done == [42, 43, 42, 43, 43]
    assert measured(result) == measured(whole)


def test_all_seeds_can_be_kept(recipe, tmp_path):
    out = tmp_path / "out"
    for _ in range(2):  # the second time over the first
        result = run_seeds(recipe, out, 2, keep_all=True, overwrite=True)
        for seed, told in zip((42, 43), result.data["seeds"]["runs"], strict=True):
            kept = RunResult.load(out / f"seeds/seed-{seed}")
            assert kept.data["seed"] == seed and kept.metrics == told["metrics"]
            assert (out / f"seeds/seed-{seed}/model.safetensors").exists()
    assert not (out / "checkpoints").exists()
    run_seeds(recipe, out, 1, overwrite=True)
    assert not (out / "seeds").exists()


def test_another_folder_called_seeds_is_left_alone(recipe, tmp_path):
    (tmp_path / "out/seeds").mkdir(parents=True)
    with pytest.raises(UserError, match="seeds, which exists and is no run's"):
        run_seeds(recipe, tmp_path / "out", 2, keep_all=True, overwrite=True)
    run_seeds(recipe, tmp_path / "out", 1, overwrite=True)
    assert (tmp_path / "out/seeds").is_dir()


def test_a_solved_head_has_no_spread(recipe, tmp_path):
    """L-BFGS draws nothing."""
    result = run_seeds(replace(recipe, head=LinearHead(), training={}), tmp_path / "out", 2)
    assert result.data["seeds"]["summary"]["test"]["loss"]["std"] == pytest.approx(0, abs=1e-6)


def test_a_run_that_fails_leaves_what_was_there(recipe, tmp_path):
    out = tmp_path / "out"
    run(recipe, out, max_steps=1)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match="nothing"):
        run_seeds(replace(recipe, data=replace(recipe.data, label="nothing")), out, 2, overwrite=True)
    for count in (0, -1, 2.0, True):
        with pytest.raises(UserError, match="seeds is .*; allowed: a number of runs, 1 or more"):
            run_seeds(recipe, out, count, overwrite=True)
    with pytest.raises(UserError, match="seed is 4294967295; allowed: 0 to 4294967294 for 2 seeds"):
        run_seeds(recipe, out, 2, overwrite=True, seed=2**32 - 1)
    with pytest.raises(UserError, match="not empty"):
        run_seeds(recipe, out, 2)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
