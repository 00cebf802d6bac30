"""A stranger loads each saved kind in a fresh process that cannot import this package, and gets the same logits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mini import make_texts

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
)

# What the stranger runs: transformers alone (and timm for images), from another folder, our package made unimportable.
STRANGER = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hf_transfer":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.path[:] = [entry for entry in sys.path if entry not in ("", sys.argv[4])]
import torch
from transformers import pipeline

folders, kind, inputs = json.loads(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
answers = []
for folder, trusted in folders:
    classify = pipeline(f"{kind}-classification", model=folder, trust_remote_code=trusted, device="cpu")
    answers.append([
        {entry["label"]: entry["score"] for entry in classify(item, top_k=None)} for item in inputs
    ])
print("ANSWERS" + json.dumps(answers))
"""


def ask_a_stranger(folders, kind, inputs, cwd) -> list[list[dict]]:
    root = str(Path(__file__).resolve().parents[2])
    words = [json.dumps([[str(folder), trusted] for folder, trusted in folders]), kind, json.dumps(inputs), root]
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, *words], capture_output=True, text=True, cwd=cwd, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("ANSWERS")[1])


def test_texts(tmp_path, mini_text, reviews):
    heads = {"native": NativeHead(), "linear": LinearHead(), "mlp": MLPHead((4,)), "lstm": LSTMHead(4, 2)}
    for name, head in heads.items():
        recipe = Recipe(
            summary=name,
            data=TextClassification(str(reviews), label="stars"),
            backbone=TextBackbone(str(mini_text), max_length=32, pooling="attention"),
            head=head,
            strategy=FullFineTune() if name == "native" else FrozenFeatures(),
        )
        run(recipe, tmp_path / name, max_steps=3)
    texts = [text for text, _ in make_texts(6, seed=3)]
    folders = [(tmp_path / name, name != "native") for name in heads]
    assert not list((tmp_path / "native").glob("*.py"))
    for (folder, _), answers in zip(folders, ask_a_stranger(folders, "text", texts, tmp_path), strict=True):
        compare(load(folder).predict(texts), answers)


def test_images(tmp_path, mini_image, photos):
    heads = {"native": NativeHead(), "probe": LinearHead(), "mlp": MLPHead((4,)), "lstm": LSTMHead(4, 1)}
    for name, head in heads.items():
        recipe = Recipe(
            summary=name,
            data=ImageClassification(str(photos)),
            backbone=ImageBackbone(str(mini_image), image_size=64),
            head=head,
            strategy=FullFineTune() if name == "native" else FrozenFeatures(),
        )
        run(recipe, tmp_path / name, max_steps=2, per_device_train_batch_size=4)
    images = [str(photos / "dark/000.png"), str(photos / "light/003.png")]
    folders = [(tmp_path / name, name in ("mlp", "lstm")) for name in heads]
    for (folder, _), answers in zip(folders, ask_a_stranger(folders, "image", images, tmp_path), strict=True):
        compare(load(folder).predict(images), answers)


def compare(predictions, answers):
    for prediction, answer in zip(predictions, answers, strict=True):
        assert prediction.probabilities == pytest.approx(answer, abs=1e-5)


def test_our_classes_load_by_the_auto_classes_without_trust(tmp_path, mini_text, reviews):
    """After `import hf_transfer.hub`, and never by running the folder's own code."""
    from transformers import AutoModelForSequenceClassification

    import hf_transfer.hub  # noqa: F401

    recipe = Recipe(
        summary="lstm",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LSTMHead(4, 1),
        strategy=FrozenFeatures(),
    )
    run(recipe, tmp_path / "out", max_steps=1)
    (tmp_path / "out" / "modeling_transfer.py").write_text("raise SystemExit('ran the code of the folder')")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert type(model).__module__ == "hf_transfer.hub.modeling_transfer"
    assert {path.suffix for path in (tmp_path / "out").iterdir()} <= {".json", ".safetensors", ".py", ".md"}


@pytest.mark.parametrize(
    "change,words", [("drop", "missing keys: head.out.bias"), ("add", "unexpected keys: head.odd")]
)
def test_a_head_that_is_not_whole_is_an_error(change, words, tmp_path, mini_text, reviews):
    """Not a warning after which a fresh head predicts noise."""
    from safetensors.torch import load_file, save_file

    recipe = Recipe(
        summary="linear",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LinearHead(),
        strategy=FrozenFeatures(),
    )
    run(recipe, tmp_path / "out", max_steps=1)
    path = tmp_path / "out" / "model.safetensors"
    weights = load_file(path)
    if change == "drop":
        weights.pop("head.out.bias")
    else:
        weights["head.odd"] = torch.zeros(1)
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=words):
        load(tmp_path / "out")
