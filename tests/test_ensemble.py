"""Averages of finished runs: WiSE-FT and soups."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from mini import make_texts, write_csv
from safetensors.torch import load_file, save_file
from torch import nn

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    MLPHead,
    Recipe,
    RunResult,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
)
from hf_transfer.batch_norm import BATCH, TrainBatches
from hf_transfer.ensemble import soup, wise_ft
from hf_transfer.hub_push import pushable


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------------------------------------------------------------
# Text: a linear probe, and what fine-tuning made of the same model


@pytest.fixture(scope="module")
def recipe(mini_text, reviews):
    return Recipe(
        summary="a test",
        data=TextClassification(str(reviews), text="body", label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LinearHead(),
        strategy=FrozenFeatures(),
        training=dict(learning_rate=3e-3, num_train_epochs=3, per_device_train_batch_size=8),
    )


@pytest.fixture(scope="module")
def runs(recipe, tmp_path_factory):
    """A linear probe and three fine-tuned models of other seeds and lengths of training."""
    place = tmp_path_factory.mktemp("runs")
    run(recipe, place / "probe", name="text/probe")
    tuned = replace(recipe, strategy=FullFineTune(), training={**recipe.training, "learning_rate": 5e-3})
    for number, epochs in enumerate((4, 6, 8)):
        run(tuned, place / f"tuned-{number}", name="text/full", seed=number, num_train_epochs=epochs, dtype="float32")
    return place


def test_wise_ft_with_alpha_one_is_the_fine_tuned_model_bit_for_bit(runs, tmp_path):
    for alpha, member in ((1, "tuned-2"), (0, "probe")):
        result = wise_ft(runs / "probe", runs / "tuned-2", tmp_path / str(alpha), alphas=[alpha])
        ours, theirs = weights(tmp_path / str(alpha)), weights(runs / member)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert result.metrics == RunResult.load(runs / member).metrics
        assert result.data["wise_ft"]["alpha"] == alpha


def test_wise_ft(runs, recipe, tmp_path, capsys):
    # Another source: the same words, the labels the other way round, so that no alpha suits both.
    swapped = [(text, {"good": "bad", "bad": "good"}[label]) for text, label in make_texts(40, seed=5)]
    second = write_csv(tmp_path / "second.csv", ["body", "stars"], swapped)
    before = {name: files(runs / name) for name in ("probe", "tuned-2")}
    out = tmp_path / "out"
    result = wise_ft(runs / "probe", runs / "tuned-2", out, second_test=str(second))

    told = result.data["wise_ft"]
    curve = told["curve"]
    assert [one["alpha"] for one in curve] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    for end, member in ((curve[0], "probe"), (curve[-1], "tuned-2")):
        assert {split: end[split] for split in ("validation", "test")} == RunResult.load(runs / member).metrics
        assert end["second_test"] == load(runs / member).evaluate_file(str(second))
    best = max(curve, key=lambda one: (one["validation"]["accuracy"], -one["validation"]["loss"]))
    assert told["alpha"] == best["alpha"]
    assert (told["start"], told["end"], told["metric"]) == ("probe", "tuned-2", "accuracy")
    assert told["second_test"] == "second.csv" and told["batchnorm"] is None
    assert result.metrics["test"] == pytest.approx(best["test"])
    assert {name: files(runs / name) for name in before} == before

    # Saved like any other run's: code of the head, card, figures, and nothing that tells of this machine.
    assert set(result.data["files"]) == {path.name for path in out.iterdir()}
    usual = {"config.json", "model.safetensors", "modeling_transfer.py", "recipe.json", "tokenizer.json"}
    assert usual | {"wise_ft.png", "confusion_matrix.png"} <= set(result.data["files"])
    assert (out / "wise_ft.png").read_bytes().startswith(b"\x89PNG")
    card = (out / "README.md").read_text()
    assert "(WiSE-FT, Wortsman et al. 2022)" in card and "| alpha | validation accuracy |" in card
    assert str(runs) not in (out / "config.json").read_text() + (out / "results.json").read_text()
    assert load(out).predict(["a fine film"])[0].label in ("good", "bad")
    assert set(pushable(out)) == set(result.data["files"])
    assert not {"fit", "stages", "throughput"} & set(result.data)
    assert "kept: alpha" in capsys.readouterr().out


def test_the_test_rows_choose_nothing(runs, tmp_path, monkeypatch):
    """With alpha = 0 the best on validation and the worst on test, it is kept all the same."""
    from hf_transfer.ensemble.rows import Rows

    def scores(self, split):
        alpha = scores.asked // 2 / 10
        scores.asked += 1
        value = 1 - alpha if split == "validation" else alpha
        return {"accuracy": value, "loss": 1 - value}

    scores.asked = 0
    monkeypatch.setattr(Rows, "scores", scores)
    assert wise_ft(runs / "probe", runs / "tuned-2", tmp_path / "out").data["wise_ft"]["alpha"] == 0
    ours, theirs = weights(tmp_path / "out"), weights(runs / "probe")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_uniform_soup_is_the_mean_of_its_members(runs, tmp_path):
    members = [runs / f"tuned-{number}" for number in range(3)]
    result = soup(members, tmp_path / "out")
    ours, theirs = weights(tmp_path / "out"), [weights(member) for member in members]
    for name, tensor in ours.items():
        exact = np.mean([one[name].numpy().astype(np.float64) for one in theirs], axis=0).astype(np.float32)
        np.testing.assert_allclose(tensor.numpy(), exact, rtol=1e-6, atol=0)
    told = result.data["soup"]
    assert told["method"] == "uniform" and all(member["kept"] for member in told["members"])
    assert {member["name"]: member["seed"] for member in told["members"]} == {"tuned-0": 0, "tuned-1": 1, "tuned-2": 2}
    for member in told["members"]:
        assert member["test"] == RunResult.load(runs / member["name"]).metrics["test"]
    assert result.data["seed"] is None
    assert "weights: the mean of" in result.data["notes"][-1]
    assert load(tmp_path / "out").predict(["a fine film"])[0].label in ("good", "bad")


@pytest.fixture
def ruined(runs, tmp_path):
    """A member whose head says the opposite, and whose results do not show it."""
    shutil.copytree(runs / "tuned-2", tmp_path / "ruined")
    changed = weights(runs / "tuned-2")
    changed |= {name: -40 * tensor for name, tensor in changed.items() if name.startswith("head.")}
    save_file(changed, tmp_path / "ruined/model.safetensors", metadata={"format": "pt"})
    results = json.loads((tmp_path / "ruined/results.json").read_text())
    results["metrics"]["validation"] |= {"accuracy": 0.0}
    (tmp_path / "ruined/results.json").write_text(json.dumps(results))
    return tmp_path / "ruined"


def test_a_greedy_soup_leaves_out_what_makes_it_worse(runs, ruined, tmp_path):
    result = soup([ruined, runs / "tuned-0", runs / "tuned-2"], tmp_path / "out", method="greedy")
    members = {member["name"]: member for member in result.data["soup"]["members"]}
    assert list(members)[-1] == "ruined" and not members["ruined"]["kept"]
    first, second, last = members.values()
    assert first["kept"] and first["with_it"] == first["validation"]["accuracy"]
    assert second["kept"] == (second["with_it"] >= first["with_it"])
    assert last["with_it"] < first["with_it"]
    kept = [runs / name for name, member in members.items() if member["kept"]]
    ours, theirs = weights(tmp_path / "out"), [weights(member) for member in kept]
    for name, tensor in ours.items():
        exact = torch.stack([one[name].double() for one in theirs]).mean(0).float()
        torch.testing.assert_close(tensor, exact, rtol=1e-6, atol=0)
    # What is reported is the kept mixture, not the last one that was tried.
    best = max(member["with_it"] for member in members.values() if member["kept"])
    assert result.metrics["validation"]["accuracy"] == best
    assert "| ruined |" in (tmp_path / "out/README.md").read_text()


def test_a_greedy_soup_of_one_is_that_model(runs, ruined, tmp_path):
    result = soup([runs / "tuned-2", ruined], tmp_path / "out", method="greedy")
    ours, theirs = weights(tmp_path / "out"), weights(runs / "tuned-2")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert result.metrics == RunResult.load(runs / "tuned-2").metrics and result.data["seed"] == 2


def test_each_member_is_held_against_the_best_mixture_so_far(runs, tmp_path, monkeypatch):
    from hf_transfer.ensemble.rows import Rows

    values = iter([0.5, 0.8, 0.6])
    monkeypatch.setattr(Rows, "scores", lambda self, split: {"accuracy": next(values), "loss": 0.0})
    result = soup([runs / f"tuned-{number}" for number in range(3)], tmp_path / "out", method="greedy")
    members = result.data["soup"]["members"]
    assert [(one["with_it"], one["kept"]) for one in members] == [(0.5, True), (0.8, True), (0.6, False)]
    ours, theirs = weights(tmp_path / "out"), [weights(runs / one["name"]) for one in members[:2]]
    name = "head.out.weight"
    torch.testing.assert_close(ours[name], ((theirs[0][name].double() + theirs[1][name].double()) / 2).float())


def test_equal_members_are_kept(runs, tmp_path):
    shutil.copytree(runs / "tuned-2", tmp_path / "copy")
    result = soup([runs / "tuned-2", tmp_path / "copy"], tmp_path / "out", method="greedy")
    assert all(member["kept"] for member in result.data["soup"]["members"])
    ours, theirs = weights(tmp_path / "out"), weights(runs / "tuned-2")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_members_of_one_name_are_told_apart_by_their_folders(runs, tmp_path):
    for place in ("a", "b"):
        shutil.copytree(runs / "tuned-2", tmp_path / place / "out")
    result = soup([tmp_path / "a/out", tmp_path / "b/out"], tmp_path / "soup")
    assert [member["name"] for member in result.data["soup"]["members"]] == ["a/out", "b/out"]


# ---------------------------------------------------------------------------------------------------------------------
# Images: BatchNorm


@pytest.fixture(scope="module")
def photo_runs(mini_image, photos, tmp_path_factory):
    place = tmp_path_factory.mktemp("photo-runs")
    recipe = Recipe(
        summary="brightness",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(mini_image), image_size=32),
        head=LinearHead(),
        strategy=FrozenFeatures(),
        training=dict(num_train_epochs=2, per_device_train_batch_size=8, learning_rate=1e-3),
    )
    run(recipe, place / "probe", dtype="float32")
    run(replace(recipe, strategy=FullFineTune()), place / "tuned", dtype="float32")
    return place


def test_batchnorm_statistics_are_those_of_the_averaged_model(photo_runs, tmp_path):
    from hf_transfer.data import load_data

    result = wise_ft(photo_runs / "probe", photo_runs / "tuned", tmp_path / "half", alphas=[0.5])
    start, end, half = (weights(folder) for folder in (photo_runs / "probe", photo_runs / "tuned", tmp_path / "half"))
    running = [name for name in half if "running_" in name]
    assert running
    for name in half.keys() - set(running):
        if half[name].is_floating_point():
            torch.testing.assert_close(half[name], (start[name] + end[name]) / 2)
    assert not any(torch.allclose(half[name], (start[name] + end[name]) / 2, rtol=1e-3) for name in running)

    # Once more by torch's own means.
    predictor = load(tmp_path / "half")
    model, train = predictor.model, load_data(predictor.recipe.data, progress=False).train
    batches = list(TrainBatches(predictor.backbone, predictor.processor, train))
    rows = sum(len(batch["pixel_values"]) for batch in batches)
    assert rows == len(train) < BATCH and result.data["wise_ft"]["batchnorm"]["rows"] == rows
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert result.data["wise_ft"]["batchnorm"]["layers"] == len(layers)
    torch.optim.swa_utils.update_bn([batch["pixel_values"] for batch in batches], model)
    again = {name: tensor for name, tensor in model.state_dict().items() if "running_" in name}
    for tensor, name in zip(again.values(), again, strict=True):
        stored = next(value for key, value in half.items() if name.endswith(key) or key.endswith(name))
        torch.testing.assert_close(tensor, stored)


def test_at_the_ends_batchnorm_is_as_it_was_trained(photo_runs, tmp_path):
    result = wise_ft(photo_runs / "probe", photo_runs / "tuned", tmp_path / "one", alphas=[1])
    ours, theirs = weights(tmp_path / "one"), weights(photo_runs / "tuned")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert any("num_batches_tracked" in name for name in theirs)
    assert result.data["wise_ft"]["batchnorm"] is None
    assert result.metrics == RunResult.load(photo_runs / "tuned").metrics


def test_a_sample_of_the_train_rows_has_full_batches_and_all_classes(photo_runs, monkeypatch):
    from hf_transfer import batch_norm
    from hf_transfer.data import load_data

    monkeypatch.setattr(batch_norm, "ROWS", 11)
    monkeypatch.setattr(batch_norm, "BATCH", 4)
    predictor = load(photo_runs / "tuned")
    batches = TrainBatches(
        predictor.backbone, predictor.processor, load_data(predictor.recipe.data, progress=False).train
    )
    assert [len(batch["pixel_values"]) for batch in batches] == [4, 4] and batches.rows == 8
    # Not a stretch of the folder, which lies in order of classes.
    levels = torch.cat([batch["pixel_values"].mean((1, 2, 3)) for batch in batches])
    bright = (levels > 0).int()
    assert bright.diff().abs().sum() > 1


# ---------------------------------------------------------------------------------------------------------------------
# What cannot be averaged


@pytest.fixture
def altered(runs, tmp_path):
    """Copy a run and change a file of the copy."""

    def copy(name: str, file: str, change) -> Path:
        shutil.copytree(runs / "tuned-0", tmp_path / name)
        content = json.loads((tmp_path / name / file).read_text())
        change(content)
        (tmp_path / name / file).write_text(json.dumps(content))
        return tmp_path / name

    return copy


def test_runs_that_differ_are_refused_with_the_first_difference(runs, altered, photo_runs, recipe, tmp_path):
    probe, out = runs / "probe", tmp_path / "out"
    wider = altered("wider", "config.json", lambda it: it["backbone_config"].update(hidden_size=32))
    with pytest.raises(UserError, match="probe and wider .*: config.json's backbone_config.hidden_size is 16"):
        soup([probe, wider], out)
    run(replace(recipe, head=MLPHead(hidden_sizes=(4,)), training={}), tmp_path / "mlp", max_steps=1)
    with pytest.raises(UserError, match="probe and mlp .* config.json's head.kind is 'linear' and 'mlp'"):
        wise_ft(probe, tmp_path / "mlp", out)
    with pytest.raises(UserError, match=r"class names is \['bad', 'good'\] and \['dark', 'light'\]"):
        soup([probe, photo_runs / "probe"], out)
    turned = altered("turned", "results.json", lambda it: it.update(labels=["good", "bad"]))
    with pytest.raises(UserError, match=r"class names is \['bad', 'good'\] and \['good', 'bad'\]"):
        soup([probe, turned], out)
    elsewhere = altered("elsewhere", "recipe.json", lambda it: it["backbone"].update(checkpoint="org/another"))
    with pytest.raises(UserError, match="backbone.checkpoint is .*mini-bert' and 'org/another'"):
        soup([probe, elsewhere], out)
    short = altered("short", "results.json", lambda it: None)
    save_file({"head.out.bias": torch.zeros(3)}, short / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"weight backbone.* is 'F32 \[.*' and 'missing'"):
        soup([probe, short], out)
    assert not out.exists() or not any(out.iterdir())


def test_runs_that_know_each_others_test_rows_are_refused(runs, altered, tmp_path):
    """Other rows were cut as test, so that each has trained on some of the other's."""
    seeded = altered("seeded", "recipe.json", lambda it: it["data"].update(split_seed=3))
    for average in (soup, lambda folders, out: wise_ft(*folders, out)):
        for folders in ([seeded, runs / "probe"], [runs / "probe", seeded]):
            with pytest.raises(UserError, match="has other (validation|test) rows than .*split_seed"):
                average(folders, tmp_path / "out")


def test_dropout_alone_is_no_other_architecture(runs, altered, tmp_path):
    dropped = altered("dropped", "config.json", lambda it: it["head"].update(dropout=0.3))
    assert soup([runs / "tuned-0", dropped], tmp_path / "out").data["soup"]["members"]


def test_a_start_that_was_trained_on_other_data_is_told(recipe, runs, tmp_path):
    other = write_csv(tmp_path / "other.csv", ["body", "stars"], make_texts(90, seed=9))
    source = replace(recipe, data=TextClassification(str(other), text="body", label="stars"))
    run(source, tmp_path / "source", max_steps=1)
    result = wise_ft(tmp_path / "source", runs / "tuned-0", tmp_path / "out", alphas=(0, 0.5, 1))
    assert any("source was trained on other data" in note for note in result.data["notes"])
    # The same file by another path is no other data.
    again = tmp_path / "again"
    shutil.copytree(runs / "probe", again)
    content = json.loads((again / "recipe.json").read_text())
    train = Path(content["data"]["train"])
    content["data"] |= {"train": str(train.parent / ".." / train.parent.name / train.name), "split_seed": 3}
    (again / "recipe.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="has other validation rows"):
        wise_ft(again, runs / "tuned-0", tmp_path / "again-out")
    with pytest.raises(UserError, match="has other validation rows"):
        soup([tmp_path / "source", runs / "tuned-0"], tmp_path / "soup")


def test_mistakes_are_told(runs, recipe, tmp_path):
    probe, tuned, out = runs / "probe", runs / "tuned-0", tmp_path / "out"
    for alphas in ((), (0, 1.5), "0.5", ("a",), (True,), (float("nan"),)):
        with pytest.raises(UserError, match="alphas is .*allowed: one or more numbers from 0 to 1"):
            wise_ft(probe, tuned, out, alphas=alphas)
    with pytest.raises(UserError, match="method is 'mean'; allowed: uniform, greedy"):
        soup([probe, tuned], out, method="mean")
    with pytest.raises(UserError, match="takes a list of folders"):
        soup(str(probe), out)
    with pytest.raises(UserError, match="two finished runs or more"):
        soup([probe], out)
    with pytest.raises(UserError, match="named twice"):
        soup([probe, tuned, runs / "tuned-1/../probe"], out)
    with pytest.raises(UserError, match="nothing is not a folder"):
        soup([probe, tmp_path / "nothing"], out)
    with pytest.raises(UserError, match="results.json is missing"):
        soup([probe, tmp_path], out)
    assert not out.exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty.*--overwrite"):
        soup([probe, tuned], tmp_path / "full")
    soup([probe, tuned], tmp_path / "full", overwrite=True)
    assert (tmp_path / "full/notes.txt").read_text() == "mine"

    texts, labels = zip(*make_texts(60), strict=True)
    rows = TextClassification(Dataset.from_dict({"text": list(texts), "label": list(labels)}))
    run(replace(recipe, data=rows), tmp_path / "memory", max_steps=1)
    with pytest.raises(UserError, match="data.train was a data set in memory; name a file"):
        soup([tmp_path / "memory", probe], out)


def test_data_that_changed_since_training_are_refused(recipe, tmp_path):
    source = write_csv(tmp_path / "rows.csv", ["body", "stars"], make_texts(60))
    own = replace(recipe, data=TextClassification(str(source), text="body", label="stars"))
    for seed in (0, 1):
        run(own, tmp_path / f"run-{seed}", max_steps=1, seed=seed)
    write_csv(source, ["body", "stars"], make_texts(90))
    with pytest.raises(UserError, match=r"was trained when train had \d+ rows; now there are \d+"):
        soup([tmp_path / "run-0", tmp_path / "run-1"], tmp_path / "out")
