"""`run`: the same figures twice, the model that was measured, and an output folder that loses nothing."""

import json
import os
from dataclasses import replace

import pytest
from datasets import Dataset
from mini import make_texts

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
    load,
    run,
)


@pytest.fixture
def recipe(mini_text, reviews):
    return Recipe(
        summary="a test",
        data=TextClassification(str(reviews), text="body", label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LSTMHead(hidden_size=8, num_layers=1),
        strategy=FrozenFeatures(),
        training=dict(learning_rate=1e-2, num_train_epochs=2, per_device_train_batch_size=8),
    )


def test_the_same_recipe_twice_gives_the_same_metrics(recipe, tmp_path):
    first, second = run(recipe, tmp_path / "a"), run(recipe, tmp_path / "b")
    assert first.metrics == second.metrics
    assert first.data["per_class"] == second.data["per_class"]
    other = run(recipe, tmp_path / "c", seed=7)
    assert other.metrics["test"]["loss"] != first.metrics["test"]["loss"]


def test_a_model_learns_and_reports_what_a_stranger_gets(recipe, tmp_path):
    from hf_transfer.data import load_data

    recipe = replace(recipe, head=NativeHead(), strategy=FullFineTune())
    result = run(recipe, tmp_path / "out", num_train_epochs=8, learning_rate=5e-3)
    assert result.headline["value"] > 0.9 > result.data["baselines"]["majority_class"]
    test = load_data(recipe.data, progress=False).test
    predicted = [row.label for row in load(tmp_path / "out").predict(list(test["text"]))]
    names = [result.data["labels"][number] for number in test["label"]]
    share = sum(a == b for a, b in zip(predicted, names, strict=True)) / len(names)
    assert share == pytest.approx(result.metrics["test"]["accuracy"])
    assert load(tmp_path / "out").evaluate_file(recipe.data.train)["accuracy"] > 0.9


def test_a_data_set_in_memory(recipe, tmp_path):
    texts, labels = zip(*make_texts(60), strict=True)
    rows = Dataset.from_dict({"text": list(texts), "label": list(labels)})
    result = run(replace(recipe, data=TextClassification(rows)), tmp_path / "out", max_steps=2)
    assert result.data["data"]["test"] == 12
    assert load(tmp_path / "out").predict(["a fine film"])[0].label in ("bad", "good")


def test_every_split_can_be_in_memory(recipe, tmp_path):
    def rows(count, seed):
        texts, labels = zip(*make_texts(count, seed=seed), strict=True)
        return Dataset.from_dict({"text": list(texts), "label": list(labels)})

    data = TextClassification(rows(40, 0), validation=rows(10, 1), test=rows(20, 2))
    result = run(replace(recipe, data=data), tmp_path / "out", max_steps=2)
    assert result.data["data"]["test"] == 20
    assert load(tmp_path / "out").predict(["a fine film"])[0].label in ("bad", "good")


def test_sgd_with_momentum_reaches_the_optimizer(recipe, tmp_path, monkeypatch):
    import torch

    seen = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda self, *a: (seen.append(self.param_groups[0]), step(self, *a))[1]
    )
    run(recipe, tmp_path / "out", optim="sgd", optim_args="momentum=0.9", max_steps=2)
    assert seen and seen[0]["momentum"] == 0.9


@pytest.mark.parametrize(
    "kind,values",
    [
        ("multi_label_classification", lambda rows: ["fun;short" if label == "good" else "" for _, label in rows]),
        ("regression", lambda rows: [2.5 if label == "good" else -1.5 for _, label in rows]),
        ("single_label_classification", lambda rows: ["abc"[number % 3] for number, _ in enumerate(rows)]),
    ],
)
def test_other_kinds_of_labels(kind, values, recipe, tmp_path):
    rows = make_texts(90)
    data = Dataset.from_dict({"text": [text for text, _ in rows], "label": values(rows)})
    separator = ";" if kind.startswith("multi") else None
    for head in (LinearHead(), NativeHead()):
        folder = tmp_path / type(head).__name__
        spec = TextClassification(data, label_separator=separator)
        result = run(replace(recipe, data=spec, head=head), folder, max_steps=3)
        assert result.data["problem_type"] == kind
        prediction = load(folder).predict(["a fine film"])[0]
        assert isinstance(prediction.label, {"m": tuple, "r": float, "s": str}[kind[0]])


def test_class_weights_reach_the_loss(recipe, tmp_path, monkeypatch):
    from hf_transfer.objectives import Supervised

    seen = []
    build = Supervised.build
    monkeypatch.setattr(Supervised, "build", lambda *args: (seen.append(args[2]), build(*args))[1])
    rows = make_texts(60) + [(f"awful number {number}", "bad") for number in range(60)]
    data = Dataset.from_dict({"text": [row[0] for row in rows], "label": [row[1] for row in rows]})
    spec = TextClassification(data, class_weights="balanced")
    run(replace(recipe, data=spec), tmp_path / "out", max_steps=1)
    bad, good = seen[0]
    assert good == pytest.approx(3 * bad, rel=0.1)


def test_an_output_folder_that_holds_something(recipe, tmp_path):
    folder = tmp_path / "out"
    run(recipe, folder, max_steps=1)
    (folder / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with pytest.raises(UserError, match="not empty.*--overwrite"):
        run(recipe, folder, max_steps=1)
    with pytest.raises(UserError, match="finished"):
        run(recipe, folder, resume=True, max_steps=1)
    broken = replace(recipe, data=replace(recipe.data, label="nothing"))
    with pytest.raises(UserError, match="nothing"):
        run(broken, folder, overwrite=True, max_steps=1)
    with pytest.raises(UserError, match="training arguments: .*lr_scheduler|training arguments: .*nope"):
        run(recipe, folder, overwrite=True, max_steps=1, lr_scheduler_type="nope")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    assert (folder / "heads_transfer.py").exists()
    run(replace(recipe, head=NativeHead()), folder, overwrite=True, max_steps=1, seed=5)
    assert json.loads((folder / "results.json").read_text())["seed"] == 5
    assert not (folder / "heads_transfer.py").exists()  # the first run's, which the stock model has no use for
    assert (folder / "notes.txt").read_text() == "mine"


def test_default_folders_count_up(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [str(run(recipe, name="text/x", max_steps=1).output_dir) for _ in range(2)]
    assert names == [os.path.join("runs", "text", "x"), os.path.join("runs", "text", "x-2")]


def test_a_stopped_run_goes_on_to_the_same_weights(recipe, tmp_path, monkeypatch):
    """An interrupt in the second epoch, then --resume: the metrics equal an unbroken run's."""
    import signal

    from hf_transfer.callbacks import StopOnSignal
    from hf_transfer.runner import Interrupted

    recipe = replace(recipe, head=NativeHead(), strategy=FullFineTune())
    whole = run(recipe, tmp_path / "whole", num_train_epochs=3)

    on_step_end = StopOnSignal.on_step_end

    def interrupt(self, args, state, control, **kwargs):
        if state.global_step == 14:
            os.kill(os.getpid(), signal.SIGINT)
        return on_step_end(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", interrupt)
        with pytest.raises(Interrupted, match="checkpoint-14.*--resume"):
            run(recipe, tmp_path / "out", num_train_epochs=3)
    assert (tmp_path / "out/checkpoints/checkpoint-14/model.safetensors").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    with pytest.raises(UserError, match="--resume: training.num_train_epochs was 3 and is now 5"):
        run(recipe, tmp_path / "out", resume=True, num_train_epochs=5)
    resumed = run(recipe, tmp_path / "out", resume=True, num_train_epochs=3)
    assert resumed.metrics == whole.metrics
    assert not (tmp_path / "out/checkpoints").exists()


def test_pairs_of_texts(recipe, tmp_path):
    texts, labels = zip(*make_texts(60), strict=True)
    rows = Dataset.from_dict({"text": list(texts), "other": list(reversed(texts)), "label": list(labels)})
    spec = TextClassification(rows, text="text", text_pair="other")
    for head in (LSTMHead(4, 1), NativeHead()):
        folder = tmp_path / type(head).__name__
        run(replace(recipe, data=spec, head=head), folder, max_steps=1)
        model = load(folder)
        swapped = model.predict([("a fine film", "a dull plot"), ("a dull plot", "a fine film")])
        assert swapped[0].probabilities != swapped[1].probabilities


def test_label_names_follow_a_checkpoint_that_knows_them(recipe, tmp_path):
    """The same classes in another order (transformers#10401): ids follow the head that is kept, names stay right."""
    from transformers import AutoConfig

    first = replace(recipe, head=NativeHead(), strategy=FullFineTune())
    run(first, tmp_path / "a", num_train_epochs=8, learning_rate=5e-3)
    config = json.loads((tmp_path / "a/config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}
    # A checkpoint whose ids are the other way round, weights and all.
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "a")
    model.classifier.weight.data = model.classifier.weight.data.flip(0)
    model.classifier.bias.data = model.classifier.bias.data.flip(0)
    model.config.id2label, model.config.label2id = {0: "good", 1: "bad"}, {"good": 0, "bad": 1}
    model.save_pretrained(tmp_path / "b")
    AutoTokenizer.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")

    again = replace(first, backbone=replace(first.backbone, checkpoint=str(tmp_path / "b")))
    result = run(again, tmp_path / "c", max_steps=1, learning_rate=0.0)
    assert AutoConfig.from_pretrained(tmp_path / "c").id2label == {0: "good", 1: "bad"}
    assert result.headline["value"] > 0.9


def test_recipe_json_runs_again_to_the_same_figures(recipe, tmp_path):
    from hf_transfer import load_recipe

    first = run(recipe, tmp_path / "a", learning_rate=3e-3, seed=11)
    again = run(load_recipe(str(tmp_path / "a/recipe.json")), tmp_path / "b")
    assert again.metrics == first.metrics and again.data["seed"] == 11


def test_settings_that_a_frozen_backbone_would_ignore(recipe, tmp_path):
    for field, value in (("activation_checkpointing", True), ("neftune_noise_alpha", 5.0)):
        with pytest.raises(UserError, match=f"{field} acts on a backbone that trains"):
            run(recipe, tmp_path / "out", **{field: value})


@pytest.mark.parametrize("head", [LSTMHead(hidden_size=4, num_layers=1, dropout=0.0), LinearHead(), NativeHead()])
def test_recording_features_changes_nothing(head, recipe, tmp_path, monkeypatch):
    """A backbone too large to record runs in every epoch; rows, order and figures are the same."""
    settings = {**recipe.training, "max_steps": 12, "train_sampling_strategy": "random"}  # pooled rows have no length
    recipe = replace(recipe, head=head, training=settings)
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "cache"))
    recorded = run(recipe, tmp_path / "recorded", dtype="float32")
    monkeypatch.setenv("HF_TRANSFER_CACHE_GB", "0")
    live = run(recipe, tmp_path / "live", dtype="float32")
    assert recorded.data["throughput"]["features_per_s"] and live.data["throughput"]["features_per_s"] is None
    if not isinstance(head, NativeHead):  # the stock classifier draws its own dropout
        assert live.metrics["test"]["loss"] == pytest.approx(recorded.metrics["test"]["loss"], abs=1e-5)


def test_images_with_a_number_as_label(mini_image, photos, tmp_path):
    import csv

    from hf_transfer import ImageBackbone, ImageClassification

    with (tmp_path / "table.csv").open("w", newline="") as file:
        rows = [(str(path), 0.5 + (path.parent.name == "light")) for path in sorted(photos.glob("*/*.png"))]
        csv.writer(file).writerows([("image", "label"), *rows])
    for head in (NativeHead(), LSTMHead(4, 1)):
        folder = tmp_path / type(head).__name__
        spec = ImageClassification(str(tmp_path / "table.csv"))
        backbone = ImageBackbone(str(mini_image), image_size=64)
        result = run(Recipe(summary="brightness", data=spec, backbone=backbone, head=head), folder, max_steps=2)
        assert result.data["problem_type"] == "regression" and result.headline["name"] == "mse"
        assert isinstance(load(folder).predict([rows[0][0]])[0].label, float)
