"""A finished model trained further, its head too."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from mini import make_texts, write_csv
from safetensors.torch import load_file

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
)
from hf_transfer.data import Labels, load_data
from hf_transfer.start import open_start

TEXTS = [text for text, _ in make_texts(8, seed=5)]


def accuracy_of(folder, recipe) -> float:
    splits = load_data(recipe.data, progress=False)
    truth = [splits.labels.names[number] for number in splits.test["label"]]
    found = [row.label for row in load(folder).predict(list(splits.test["text"]))]
    return sum(one == other for one, other in zip(found, truth, strict=True)) / len(truth)


def pictures(photos) -> list[str]:
    return [str(path) for path in sorted(photos.glob("*/*.png"))[::4]]


def probabilities(folder, inputs) -> np.ndarray:
    return np.array([list(row.probabilities.values()) for row in load(folder).predict(inputs)])


@pytest.mark.parametrize(
    "kind,head,strategy",
    [
        ("text", LSTMHead(4, 1), FrozenFeatures()),
        ("image", MLPHead((4,)), FrozenFeatures()),
        pytest.param("text", NativeHead(), FullFineTune(), marks=pytest.mark.slow),
        pytest.param("text", LinearHead(), FrozenFeatures(), marks=pytest.mark.slow),
        pytest.param("text", NativeHead(), FrozenFeatures(), marks=pytest.mark.slow),
        pytest.param("text", MLPHead((4,)), FullFineTune(), marks=pytest.mark.slow),
        pytest.param("image", NativeHead(), FrozenFeatures(), marks=pytest.mark.slow),
        pytest.param("image", LSTMHead(4, 1), FrozenFeatures(), marks=pytest.mark.slow),
    ],
)
def test_without_learning_it_says_the_same_and_then_it_moves(
    kind, head, strategy, finished, text, image, photos, tmp_path
):
    recipe = text if kind == "text" else image
    out = finished(recipe, head=head)
    recipe = replace(recipe, head=head, strategy=strategy)
    inputs = TEXTS if kind == "text" else pictures(photos)
    before = probabilities(out, inputs)
    result = run(recipe, tmp_path / "still", start_from=out, max_steps=1, learning_rate=0.0)
    np.testing.assert_allclose(probabilities(tmp_path / "still", inputs), before, atol=1e-7)
    assert result.data["start_from"] == {"source": str(out), "revision": None}
    assert result.data["checkpoint"] == recipe.backbone.checkpoint
    run(recipe, tmp_path / "moved", start_from=str(out), max_steps=2, learning_rate=1e-2, warmup_steps=0)
    assert np.abs(probabilities(tmp_path / "moved", inputs) - before).max() > 1e-3


@pytest.mark.slow
def test_a_probe_goes_on_as_a_fine_tuned_net(finished, image, photos, tmp_path):
    """The last layer of a timm net is a LinearHead and a NativeHead alike, so linear probing, then fine-tuning."""
    out = finished(image, head=LinearHead(), strategy=FrozenFeatures(), training={})
    recipe = replace(image, head=NativeHead())
    before = probabilities(out, pictures(photos))
    run(recipe, tmp_path / "on", start_from=out, learning_rate=0.0, max_steps=1, per_device_train_batch_size=16)
    weights, old = load_file(tmp_path / "on/model.safetensors"), load_file(out / "model.safetensors")
    moved = [name for name in old if not torch.equal(old[name], weights[name])]
    assert all("running" in name or "num_batches" in name for name in moved)  # BatchNorm counts what it sees
    assert before.shape == probabilities(tmp_path / "on", pictures(photos)).shape


def test_a_linear_head_goes_on_by_gradient_descent(finished, text):
    recipe = replace(text, head=LinearHead(), strategy=FrozenFeatures(), training={})
    out = finished(text, head=LinearHead(), strategy=FrozenFeatures(), training={})
    assert json.loads((out / "results.json").read_text())["fit"]["fit"] == "lbfgs"
    start = open_start(str(out))
    settled, line = start.settle(recipe)
    assert settled.head.fit == "sgd"
    assert line.startswith(
        "start: backbone and head of a finished mine/first run; the head goes on by gradient descent"
    )
    for head in (LinearHead(fit="lbfgs"), LinearHead(l2=0.1)):
        with pytest.raises(UserError, match="would keep nothing of its head; set --head.fit sgd --head.l2 none, or"):
            start.settle(replace(recipe, head=head))
    for free in (replace(recipe, head=LinearHead(fit="sgd")), replace(recipe, strategy=FullFineTune())):
        assert start.settle(free) == (free, "start: backbone and head of a finished mine/first run")


def test_the_order_of_the_labels_is_the_models(text, tmp_path):
    rows = make_texts(120)
    columns = {"body": [row[0] for row in rows], "stars": [["good", "bad"].index(row[1]) for row in rows]}
    types = Features({"body": Value("string"), "stars": ClassLabel(names=["good", "bad"])})
    declared = TextClassification(Dataset.from_dict(columns, features=types), text="body", label="stars")
    recipe = replace(text, head=NativeHead())
    longer = dict(max_steps=-1, num_train_epochs=6, learning_rate=5e-3)
    first = run(replace(recipe, data=declared), tmp_path / "a", **longer)
    assert first.data["labels"] == ["good", "bad"]
    again = run(recipe, tmp_path / "b", start_from=tmp_path / "a", max_steps=1, learning_rate=0.0)
    assert again.data["labels"] == ["good", "bad"]
    before, after = (load(tmp_path / name).predict(TEXTS) for name in "ab")
    for old, new in zip(before, after, strict=True):
        assert new.probabilities == pytest.approx(old.probabilities, abs=1e-7)  # by name
    # And the rows' own labels, which were read in the other order, are counted by name too.
    right = accuracy_of(tmp_path / "a", recipe)
    assert again.metrics["test"]["accuracy"] == pytest.approx(right) and right != 0.5


@pytest.mark.slow
def test_regression_under_another_column_name(text, tmp_path):
    rows = [(words, 2.5 if label == "good" else -1.5) for words, label in make_texts(60)]
    first, second = (write_csv(tmp_path / f"{name}.csv", ["body", name], rows) for name in ("stars", "score"))
    run(replace(text, data=TextClassification(str(first), label="stars")), tmp_path / "a")
    recipe = replace(text, data=TextClassification(str(second), label="score"))
    result = run(recipe, tmp_path / "b", start_from=tmp_path / "a", max_steps=1)
    assert result.data["labels"] == ["stars"] and result.data["problem_type"] == "regression"


def test_rows_that_do_not_fit(finished, text, tmp_path):
    out = finished(text)
    classes = ("bad", "good", "ugly")
    new = [(f"{words} {number}", classes[number % 3]) for number, (words, _) in enumerate(make_texts(90))]
    three = TextClassification(str(write_csv(tmp_path / "new.csv", ["body", "stars"], new)), label="stars")
    anew = f"leave --start_from out and pass --backbone.checkpoint {out}"
    with pytest.raises(UserError, match=f"the label 'ugly' is new to it .it knows bad, good.; for a new head {anew}"):
        run(replace(text, data=three), tmp_path / "never", start_from=out)
    start = replace(open_start(str(out)), labels=Labels("single_label_classification", ("good", "ugly", "bad")))
    assert start.check_labels(load_data(three, label_order=start.labels.names)).labels.names == start.labels.names
    with pytest.raises(UserError, match="no row has its label 'ugly' .it knows good, ugly, bad.; for a new head"):
        start.check_labels(load_data(text.data, label_order=start.labels.names))
    numbers = [(words, 0.5 * number) for number, (words, _) in enumerate(make_texts(60))]
    table = TextClassification(str(write_csv(tmp_path / "numbers.csv", ["body", "stars"], numbers)), label="stars")
    with pytest.raises(UserError, match="trained for single_label.*were taken for regression; --data.problem_type"):
        start.check_labels(load_data(table))
    assert not (tmp_path / "never").exists() or not any((tmp_path / "never").iterdir())


def test_a_recipe_of_another_shape(finished, text, image, tmp_path, mini_text):
    out = finished(text)
    own = f"go on with its own recipe: `run_recipe.py {out} --start_from {out} --data.train FILE`"
    for changed, words in (
        (replace(text, head=LSTMHead(8, 1)), "head.hidden_size was 4 when it was made and is 8 here"),
        (replace(text, head=MLPHead((4,))), "head was 'LSTMHead' when it was made and is 'MLPHead' here"),
        (replace(text, backbone=replace(text.backbone, layer=1)), "backbone.layer was None .* is 1 here"),
        (replace(text, backbone=replace(text.backbone, add_tokens=("x",))), "backbone.add_tokens was .* is .'x',."),
        (replace(text, backbone=replace(text.backbone, pooling="mean")), "backbone.pooling was 'pooler' .* is 'mean'"),
        (replace(text, backbone=TextBackbone("a/b", max_length=32)), f"checkpoint was '{mini_text}' .* is 'a/b' here"),
        (image, "backbone was 'TextBackbone' when it was made and is 'ImageBackbone' here"),
    ):
        with pytest.raises(UserError, match=f"{words}.*{own}"):
            run(changed, tmp_path / "never", start_from=out)
    start = open_start(str(out))
    for checkpoint in (mini_text, out):
        for asked in ("auto", "pooler"):
            same = replace(text.backbone, pooling=asked, checkpoint=str(checkpoint))
            assert start.settle(replace(text, backbone=same))[0].backbone == same
    with pytest.raises(UserError, match="not a finished run .it holds no recipe.json.*--backbone.checkpoint"):
        run(text, tmp_path / "never", start_from=mini_text)
    with pytest.raises(UserError, match="--start_from nobody/nothing: neither a folder on this disk nor to be had"):
        run(text, tmp_path / "never", start_from="nobody/nothing")


def test_dropout_is_the_recipes(finished, text):
    head = replace(text.head, dropout=0.5)
    start = open_start(str(finished(text)))
    model = start.build(start.settle(replace(text, head=head))[0])
    assert model.config.head["dropout"] == 0.5 and model.head.dropout.p == 0.5 and model.training


@pytest.mark.slow
@pytest.mark.parametrize("head", [MLPHead((4,)), NativeHead()])
def test_pictures_of_another_size(head, finished, image, photos, tmp_path):
    """What is measured is what was trained on, so the new size must be saved."""
    out = finished(image, head=head)
    recipe = replace(image, head=head, backbone=replace(image.backbone, image_size=48), strategy=FrozenFeatures())
    result = run(recipe, tmp_path / "out", start_from=out, max_steps=1)
    content = json.loads((tmp_path / "out/config.json").read_text())
    for config in filter(None, (content, content.get("backbone_config"))):
        assert config["pretrained_cfg"]["input_size"] == [3, 48, 48]
    predictor = load(tmp_path / "out")
    rows = {"image": load_data(recipe.data, progress=False).test["image"][:1]}
    assert predictor.backbone.preprocess(rows, predictor.processor)["pixel_values"].shape[-1] == 48
    assert result.recipe["backbone"]["image_size"] == 48


@pytest.mark.slow
def test_over_the_very_folder_it_starts_from(finished, text, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished(text), out)
    before = probabilities(out, TEXTS)
    run(text, out, start_from=out, overwrite=True, max_steps=2)
    assert np.abs(probabilities(out, TEXTS) - before).max() > 1e-4


@pytest.mark.slow
def test_resumed_it_goes_on_from_the_checkpoint(finished, text, tmp_path, monkeypatch):
    """The checkpoint wins over the model that was started from, and the two runs must be the same."""
    import signal

    from hf_transfer.callbacks import StopOnSignal
    from hf_transfer.runner import Interrupted

    out = finished(text)
    settings = {**text.training, "max_steps": 6, "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    recipe = replace(text, training={**settings, "save_strategy": "steps"})
    whole = run(recipe, tmp_path / "whole", start_from=out)
    on_step_end = StopOnSignal.on_step_end

    def interrupt(self, args, state, control, **kwargs):
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return on_step_end(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", interrupt)
        with pytest.raises(Interrupted):
            run(recipe, tmp_path / "on", start_from=out)
    with pytest.raises(UserError, match="--resume: start_from.* was .* and is now None"):
        run(recipe, tmp_path / "on", resume=True)
    resumed = run(recipe, tmp_path / "on", start_from=out, resume=True)
    assert resumed.metrics == whole.metrics


def test_from_the_command_line_with_its_own_recipe(finished, text, tmp_path, monkeypatch, capsys):
    from hf_transfer import cli
    from hf_transfer.scrub import public_files

    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished(text), "first")
    new = write_csv(tmp_path / "new.csv", ["body", "stars"], make_texts(80, seed=9))
    words = ["first", "--start_from", "first", "--data.train", new, "--data.label", "stars", "--output_dir", "second"]
    assert cli.main(["run", *map(str, words), "--max_steps", "1"]) == 0
    assert "start: backbone and head of a finished mine/first run" in capsys.readouterr().out
    results = json.loads(Path("second/results.json").read_text())
    assert results["start_from"] == {"source": "first", "revision": None}
    public = json.loads(public_files(Path("second"), ["results.json"])["results.json"])
    assert public["start_from"] == {"source": "./first", "revision": None}
    assert cli.main(["run", "text/lstm_frozen", "--start_from", "first", "--data.train", str(new)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "head.hidden_size was 4 when it was made and is 256 here" in error
