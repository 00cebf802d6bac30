"""Runs of several tasks on mini models."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file

from hf_transfer import (
    L2SP,
    FrozenFeatures,
    GradualUnfreeze,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    Stage,
    Supervised,
    UserError,
    load,
    run,
)
from hf_transfer.ensemble import soup, wise_ft
from hf_transfer.multitask.exporting import export_task
from hf_transfer.multitask.tasks import task_recipe
from hf_transfer.seeds import run_seeds


@pytest.fixture(scope="module")
def result(tasks, plain_text, tmp_path_factory):
    """One run with all that a mixture can have: two heads, learnt weights."""
    from hf_transfer import FullFineTune, Recipe, TaskMixture, TextBackbone

    recipe = Recipe(
        summary="two tasks",
        data=TaskMixture(tasks, sampling="uniform", weights="uncertainty"),
        backbone=TextBackbone(plain_text, max_length=32),
        head={"mood": NativeHead(), "alike": LSTMHead(hidden_size=8, num_layers=1)},
        strategy=FullFineTune(layer_decay=0.9),
        training=dict(num_train_epochs=2, per_device_train_batch_size=8, learning_rate=1e-3),
    )
    return run(recipe, tmp_path_factory.mktemp("runs") / "both")


@pytest.mark.parametrize("head", [NativeHead(), MLPHead(hidden_sizes=(8,))])
def test_a_mixture_of_one_task_is_the_run_of_that_task(recipe_of, tmp_path, head, mini_text):
    """With dropout, which draws from the same generator; the epoch that is kept is named, as a mixture has another
    default."""
    recipe = recipe_of("mood", checkpoint=mini_text, head=head, training=dict(metric_for_best_model="loss"))
    mixed = run(recipe, tmp_path / "mixed")
    alone = run(task_recipe(recipe, "mood"), tmp_path / "alone")
    ours, theirs = load(tmp_path / "mixed")["mood"].model.state_dict(), load(tmp_path / "alone").model.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
    assert mixed.data["tasks"]["mood"]["metrics"] == alone.metrics
    assert mixed.data["tasks"]["mood"]["data"] == alone.data["data"]


def test_the_result_holds_each_task_and_the_mean_over_them(result):
    data = result.data
    assert list(data["tasks"]) == ["mood", "alike"]
    mood, alike = data["tasks"].values()
    assert mood["problem_type"] == "single_label_classification" and mood["labels"] == ["bad", "good"]
    assert alike["problem_type"] == "regression" and alike["data"]["test"] == 12
    for split in ("validation", "test"):
        scores = [mood["metrics"][split]["accuracy"], alike["metrics"][split].get("pearson", 0.0)]
        assert data["metrics"][split]["mean_of_tasks"] == pytest.approx(np.mean(scores))
        assert data["metrics"][split]["mood_macro_f1"] == mood["metrics"][split]["macro_f1"]
    assert result.headline["name"] == "mean_of_tasks"
    assert result.headline["of"] == {"mood": "accuracy", "alike": "pearson"}
    low, high = result.headline["ci95"]
    assert low <= result.headline["value"] <= high
    assert "mean of tasks" in result.table()


def test_the_best_epoch_has_the_best_mean(result):
    validated = {entry["step"]: entry["validation"] for entry in result.data["history"] if "validation" in entry}
    means = {step: one["mean_of_tasks"] for step, one in validated.items()}
    assert means[result.data["fit"]["best_step"]] == max(means.values()) and len(means) == 2
    for one in validated.values():
        assert one["mean_of_tasks"] == pytest.approx((one["mood_accuracy"] + one.get("alike_pearson", 0.0)) / 2)
        assert one["loss"] == pytest.approx((one["mood_loss"] + one["alike_loss"]) / 2)


def test_the_learnt_weights_are_told_and_not_saved(result):
    weights = result.data["fit"]["task_weights"]
    assert weights["mood"] != 1.0 and weights["alike"] != 0.5  # exp(-s), and half of it for a number: s has moved
    assert weights["alike"] == pytest.approx(0.5, rel=0.5)
    names = load_file(result.output_dir / "model.safetensors").keys()
    assert {name.partition(".")[0] for name in names} == {"backbone", "heads"}


def test_the_card_has_a_section_and_metadata_for_each_task(result):
    import yaml

    card = (result.output_dir / "README.md").read_text()
    for task in ("mood", "alike"):
        assert f"### Task {task}" in card
    assert "Weights of the losses (learnt, in the end)" in card
    measured = yaml.safe_load(card.split("---")[1])["model-index"][0]["results"]
    assert [one["dataset"]["config"] for one in measured] == ["mood", "alike"]
    assert {one["type"] for one in measured[1]["metrics"]} >= {"mse", "pearsonr"}


def test_an_average_is_of_one_task_at_a_time(result, tmp_path):
    """What the refusal says to do works: the same task of each run, exported."""
    shutil.copytree(result.output_dir, tmp_path / "again")
    for average in (soup, wise_ft):
        with pytest.raises(UserError, match="has several tasks, and averages are of models with one; export the same"):
            _averaged(average, [result.output_dir, tmp_path / "again"], tmp_path / "mean")
    folders = [
        export_task(one, "mood", tmp_path / f"mood-{one.name}").folder
        for one in (result.output_dir, tmp_path / "again")
    ]
    mean = soup(folders, tmp_path / "mean")
    assert mean.metrics["test"]["accuracy"] == result.data["tasks"]["mood"]["metrics"]["test"]["accuracy"]


def _averaged(average, folders, target):
    return average(folders, target) if average is soup else average(*folders, target)


def test_several_seeds_of_a_mixture_are_judged_by_the_mean_of_their_tasks(recipe_of, tmp_path):
    done = run_seeds(recipe_of(), tmp_path / "out", 2, max_steps=2).data["seeds"]
    assert set(done["summary"]["test"]["mean_of_tasks"]) == {"mean", "std", "min", "max"}
    scores = {one["seed"]: one["metrics"]["validation"]["mean_of_tasks"] for one in done["runs"]}
    assert scores[done["kept"]] == max(scores.values())
    assert load(tmp_path / "out")["mood"].predict(["a lovely film"])[0].label in ("bad", "good")


def test_the_predictors_share_a_backbone_and_ask_for_the_task(result):
    from hf_transfer import UserError

    both = load(result.output_dir)
    assert both["mood"].model.base_model is both["alike"].model.base_model
    assert both.predict(["a great film"], task="mood")[0].label in ("bad", "good")
    assert math.isfinite(both.predict([("a great film", "a dull film")], task="alike")[0].label)
    with pytest.raises(UserError, match="holds 2 tasks; say which: --task mood or --task alike"):
        both.predict(["a great film"])
    with pytest.raises(UserError, match="has no task 'nope'; tasks: mood, alike"):
        both.predict(["a great film"], task="nope")


def test_frozen_features_are_recorded_and_give_the_models_own_logits(recipe_of, tmp_path):
    """The validation figures of the best epoch, from recordings, are those of the saved model."""
    recipe = recipe_of(head={"mood": LinearHead(), "alike": LSTMHead(hidden_size=8, num_layers=1)})
    recipe = replace(recipe, strategy=FrozenFeatures())
    result = run(recipe, tmp_path / "out", dtype="float32")
    assert result.data["fit"]["computed"] >= 84 + 12 + 42 + 6  # each row once; first batches twice, to size the files
    best = result.data["fit"]["best_step"]
    told = next(entry["validation"] for entry in result.data["history"] if entry["step"] == best)
    for name, value in result.metrics["validation"].items():
        assert told[name] == pytest.approx(value, abs=1e-5), name
    again = run(recipe, tmp_path / "again", dtype="float32")
    assert again.data["fit"]["computed"] == 0  # found in the cache
    assert again.metrics == result.metrics


def test_stages_strategies_and_terms_work(recipe_of, tmp_path):
    recipe = recipe_of(
        strategy=(
            Stage(FrozenFeatures()),
            Stage(GradualUnfreeze(layer_decay=0.8), objective=Supervised() + 0.5 * L2SP()),
        ),
        mixture=dict(weights={"mood": 1.0, "alike": 2.0}),
    )
    result = run(recipe, tmp_path / "out")
    assert [one["strategy"] for one in result.data["stages"]] == ["FrozenFeatures", "GradualUnfreeze"]
    assert result.data["fit"]["task_weights"] == {"mood": 1.0, "alike": 2.0}
    assert json.loads((tmp_path / "out/recipe.json").read_text())["data"]["weights"] == {"mood": 1.0, "alike": 2.0}


def test_accumulated_micro_batches_are_one_large_batch(recipe_of, tmp_path):
    runs = {"whole": dict(per_device_train_batch_size=8)}
    runs["parts"] = dict(per_device_train_batch_size=2, gradient_accumulation_steps=4)
    for name, training in runs.items():
        run(recipe_of(training=dict(training, num_train_epochs=1)), tmp_path / name, dtype="float32")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in runs)
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, atol=2e-5, rtol=0)


def test_rows_in_memory_can_be_a_task(recipe_of, tasks, tmp_path):
    from hf_transfer import TaskMixture, TextClassification

    rows = Dataset.from_dict({"text": ["great film", "dull film"] * 20, "label": ["good", "bad"] * 20})
    rows = rows.map(lambda row, number: {"text": row["text"] + " very" * (number // 2)}, with_indices=True)
    recipe = recipe_of(training=dict(max_steps=2))
    data = TaskMixture({"memory": TextClassification(rows), "alike": tasks["alike"]})
    run(replace(recipe, data=data), tmp_path / "out")
    assert load(tmp_path / "out").predict(["great film"], task="memory")[0].label in ("good", "bad")
