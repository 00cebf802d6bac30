"""One task out of several: equal logits, loadable by strangers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from stranger import WITHOUT_US

from hf_transfer import (
    FrozenFeatures,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    Recipe,
    TaskMixture,
    TextBackbone,
    UserError,
    export_task,
    load,
    run,
)
from hf_transfer.cli import main

# Our package is unimportable; the model is read by transformers, with the code in its folder.
STRANGER = (
    WITHOUT_US
    + """
import json, sys
import torch
from transformers import AutoModel, AutoTokenizer, pipeline

whole, alone = sys.argv[1:]
model = AutoModel.from_pretrained(whole, trust_remote_code=True).eval()
read = AutoTokenizer.from_pretrained(whole, trust_remote_code=True)
with torch.no_grad():
    mood = model(**read("a great film", return_tensors="pt"), task="mood").logits.tolist()
    alike = model(**read("a great film", "a dull film", return_tensors="pt"), task="alike").logits.tolist()
classify = pipeline("text-classification", model=alone)
said = {one["label"]: one["score"] for one in classify("a great film", top_k=None)}
print("ANSWER" + json.dumps([mood, alike, type(classify.model).__name__, said]))
"""
)


@pytest.fixture(scope="module")
def texts(tasks, mini_text, tmp_path_factory) -> Path:
    """A stock head and one of ours; the stock one reads a pooler that the other leaves out."""
    recipe = Recipe(
        summary="two tasks",
        data=TaskMixture(tasks),
        backbone=TextBackbone(mini_text, max_length=32, pooling="mean"),
        head={"alike": LSTMHead(hidden_size=8, num_layers=1), "mood": NativeHead()},
        training=dict(max_steps=4, per_device_train_batch_size=8, learning_rate=1e-3),
    )
    folder = tmp_path_factory.mktemp("runs") / "texts"
    run(recipe, folder, name="multitask/two")
    return folder


@pytest.fixture(scope="module")
def exported(texts) -> dict:
    return {task: export_task(texts, task, texts.parent / task) for task in ("mood", "alike")}


def test_each_task_becomes_the_class_it_would_have_been(exported):
    kinds = {task: one.kind for task, one in exported.items()}
    assert kinds == {"mood": "BertForSequenceClassification", "alike": "TransferForSequenceClassification"}
    names = load(exported["alike"].folder).model.state_dict()
    assert not any("pooler" in name for name in names)  # of the shared backbone, what this head never reads


def test_the_logits_are_those_of_the_whole_model(texts, exported):
    rows = {
        "mood": Dataset.from_dict({"text": ["a great film", "dull", "the plot was very cold and poor"]}),
        "alike": Dataset.from_dict({"text": ["a great film", "dull"], "text_pair": ["the film", "a dull plot"]}),
    }
    both = load(texts)
    for task, one in exported.items():
        found, wanted = load(one.folder).logits(rows[task]), both[task].logits(rows[task])
        # Rounding: where weights and inputs lie in memory decides how an LSTM adds up.
        assert abs(found - wanted).max() < 1e-6
        assert one.difference < 1e-6


def test_the_export_has_its_own_results_and_card(texts, exported):
    whole = json.loads((texts / "results.json").read_text())
    for task, one in exported.items():
        found = json.loads((one.folder / "results.json").read_text())
        assert found["metrics"] == whole["tasks"][task]["metrics"]
        assert found["exported_from"] == {"tasks": ["mood", "alike"], "task": task}
        assert json.loads((one.folder / "recipe.json").read_text())["data"]["kind"] == "TextClassification"
        card = (one.folder / "README.md").read_text()
        assert "pipeline(" in card and ("trust_remote_code" in card) == (task == "alike")


def test_a_stranger_loads_both(texts, exported):
    words = [sys.executable, "-c", STRANGER, str(texts), str(exported["mood"].folder)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=texts.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    mood, alike, kind, said = json.loads(done.stdout.partition("ANSWER")[2])
    both = load(texts)
    ours = both["mood"].logits(Dataset.from_dict({"text": ["a great film"]}))
    torch.testing.assert_close(torch.tensor(mood), torch.from_numpy(ours), atol=1e-6, rtol=0)
    pair = Dataset.from_dict({"text": ["a great film"], "text_pair": ["a dull film"]})
    torch.testing.assert_close(torch.tensor(alike), torch.from_numpy(both["alike"].logits(pair)), atol=1e-6, rtol=0)
    assert kind == "BertForSequenceClassification"
    assert said == pytest.approx(both.predict(["a great film"], task="mood")[0].probabilities, abs=1e-6)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (NativeHead(), "TimmWrapperForImageClassification"),
        (LinearHead(), "TimmWrapperForImageClassification"),
        (MLPHead(hidden_sizes=(4,)), "TransferForImageClassification"),
    ],
)
@pytest.mark.parametrize("frozen", [True, False])
def test_images(tmp_path, mini_image, photos, head, kind, frozen):
    from hf_transfer import FullFineTune

    seeds = {name: ImageClassification(str(photos), split_seed=seed) for seed, name in enumerate(("first", "second"))}
    recipe = Recipe(
        summary="two tasks",
        data=TaskMixture(seeds),
        backbone=ImageBackbone(mini_image, image_size=32),
        head=head,
        strategy=FrozenFeatures() if frozen else FullFineTune(),
        training=dict(max_steps=2, per_device_train_batch_size=4),
    )
    run(recipe, tmp_path / "out")
    both = load(tmp_path / "out")
    done = export_task(tmp_path / "out", "second", tmp_path / "second")
    assert done.kind == kind
    rows = Dataset.from_dict({"image": sorted(map(str, photos.glob("*/*.png")))[:4]})
    from datasets import Image

    rows = rows.cast_column("image", Image())
    ours, theirs = both["second"].logits(rows), load(tmp_path / "second").logits(rows)
    torch.testing.assert_close(torch.from_numpy(theirs), torch.from_numpy(ours), atol=1e-5, rtol=0)


def test_the_command(texts, tmp_path, capsys):
    assert main(["export", str(texts), "--task", "mood", "--output", str(tmp_path / "mood")]) == 0
    assert "a BertForSequenceClassification" in capsys.readouterr().out
    given = tmp_path / "new.csv"
    given.write_text("text\na great film\n")
    words = ["--input", str(given), "--output", str(tmp_path / "said.csv")]
    assert main(["predict", str(texts), "--task", "mood", *words]) == 0
    assert (tmp_path / "said.csv").read_text().startswith("text,label,confidence,prob_bad,prob_good\na great film,")


def test_what_it_refuses(texts, exported, tmp_path, capsys):
    with pytest.raises(UserError, match="has no task 'nope'; tasks: mood, alike"):
        export_task(texts, "nope", tmp_path / "out")
    with pytest.raises(UserError, match="is a model of one task already"):
        export_task(exported["mood"].folder, "mood", tmp_path / "out")
    for words, said in {
        ("export", str(texts)): "has several tasks; --task NAME takes one out: mood, alike",
        ("demo", str(texts)): "has several tasks; export one first",
        (
            "predict",
            str(texts),
            "--input",
            "a",
            "--output",
            "b.csv",
        ): "holds 2 tasks; say which: --task mood or --task",
        ("export", str(texts), "--task", "mood", "--format", "onnx"): "--format is for ONNX; export the task",
    }.items():
        assert main(list(words)) == 2
        assert said in capsys.readouterr().err
