"""A stranger loads each saved kind in a fresh process that cannot import this package, and gets the probabilities that
the reported test metrics were computed from: by the Auto classes and by a pipeline.

Each case below is a row of a table; all of a table are asked in one process.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv
from stranger import WITHOUT_US

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
from hf_transfer.data import load_data
from hf_transfer.scoring import compute_metrics, probabilities

# What the stranger runs: transformers alone (and timm for images), from another folder, our package made unimportable.
STRANGER = (
    WITHOUT_US
    + """
import json, sys
sys.path[:] = [entry for entry in sys.path if entry not in ("", sys.argv[3])]
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor, AutoModelForImageClassification, AutoModelForSequenceClassification, AutoTokenizer, pipeline,
)

def by_classes(folder, trust, rows):
    if kind == "text":
        model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=trust)
        read = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
        texts = zip(*rows) if isinstance(rows[0], list) else [rows]
        batch = read(*map(list, texts), padding=True, truncation=True, return_tensors="pt")
    else:
        model = AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=trust)
        read = AutoImageProcessor.from_pretrained(folder, trust_remote_code=trust)
        batch = read([Image.open(path).convert("RGB") for path in rows], return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**batch).logits.tolist()

def by_pipeline(folder, trust, rows):
    classify = pipeline(f"{kind}-classification", model=folder, trust_remote_code=trust, device="cpu")
    asked = [{"text": row[0], "text_pair": row[1]} if isinstance(row, list) else row for row in rows]
    answers = [classify(row, top_k=None) for row in asked]
    names = [classify.model.config.id2label[number] for number in range(classify.model.config.num_labels)]
    found = [{entry["label"]: entry["score"] for entry in answer} for answer in answers]
    return [[answer[name] for name in names] for answer in found]

kind, cases = sys.argv[1], json.loads(sys.argv[2])
answers = [[by_classes(*case), by_pipeline(*case)] for case in cases]
print("ANSWERS" + json.dumps(answers))
"""
)


def ask_a_stranger(kind: str, cases: list[list], cwd: Path) -> list:
    root = str(Path(__file__).resolve().parents[2])
    words = [kind, json.dumps(cases), root]
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, *words], capture_output=True, text=True, cwd=cwd, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("ANSWERS")[1])


def check(kind: str, recipes: dict[str, Recipe], folder: Path, trusted) -> None:
    """Run each recipe, and compare what a stranger gets on its test rows with what was measured."""
    asked, measured = [], []
    for name, recipe in recipes.items():
        result = run(recipe, folder / name)
        rows = load_data(recipe.data, progress=False).test
        predictor = load(folder / name)
        logits = predictor.logits(rows.remove_columns("label"))
        task = result.data["problem_type"]
        scores = compute_metrics(logits, np.asarray(rows["label"]), task)
        assert scores["loss"] == pytest.approx(result.metrics["test"]["loss"], abs=1e-6), name
        measured.append((logits, probabilities(logits, task).reshape(len(logits), -1), task))
        trust = trusted(recipe)
        assert bool(list((folder / name).glob("*.py"))) == trust, name
        asked.append([str(folder / name), trust, _inputs(rows, folder / "inputs" / name)])
    for name, (logits, expected, task), (found, shares) in zip(
        recipes, measured, ask_a_stranger(kind, asked, folder), strict=True
    ):
        np.testing.assert_allclose(np.array(found), logits, atol=1e-5, err_msg=f"{name}, Auto classes")
        of_classes = probabilities(np.array(found), task).reshape(len(found), -1)
        np.testing.assert_allclose(of_classes, expected, atol=1e-5, err_msg=f"{name}, Auto classes")
        np.testing.assert_allclose(np.array(shares), expected, atol=1e-5, err_msg=f"{name}, pipeline")


def _inputs(rows, folder: Path) -> list:
    if "image" not in rows.column_names:
        texts = list(rows["text"])
        return texts if "text_pair" not in rows.column_names else list(zip(texts, rows["text_pair"], strict=True))
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.png" for number in range(len(rows))]
    for path, image in zip(paths, rows["image"], strict=True):
        image.save(path)
    return [str(path) for path in paths]


def text_recipe(checkpoint, data, head, full=False, **backbone) -> Recipe:
    return Recipe(
        summary="a reload",
        data=data,
        backbone=TextBackbone(str(checkpoint), **{"max_length": 32, **backbone}),
        head=head,
        strategy=FullFineTune() if full else FrozenFeatures(),
        training=dict(max_steps=3, learning_rate=1e-2),
    )


def image_recipe(checkpoint, data, head, full=False, **backbone) -> Recipe:
    return Recipe(
        summary="a reload",
        data=data,
        backbone=ImageBackbone(str(checkpoint), **{"image_size": 64, **backbone}),
        head=head,
        strategy=FullFineTune() if full else FrozenFeatures(),
        training=dict(max_steps=2, learning_rate=1e-2, per_device_train_batch_size=4),
    )


def text_needs_trust(recipe: Recipe) -> bool:
    return not isinstance(recipe.head, NativeHead)


def image_needs_trust(recipe: Recipe) -> bool:
    plain = recipe.backbone.pooling == "auto" and recipe.backbone.layer is None
    return not (isinstance(recipe.head, NativeHead) or (isinstance(recipe.head, LinearHead) and plain))


def test_texts(tmp_path, mini_text, reviews):
    data = TextClassification(str(reviews), label="stars")
    check(
        "text",
        {
            "native": text_recipe(mini_text, data, NativeHead(), full=True),
            "linear": text_recipe(mini_text, data, LinearHead(), pooling="attention"),
            "mlp": text_recipe(mini_text, data, MLPHead((4,)), pooling="pooler"),
            "lstm": text_recipe(mini_text, data, LSTMHead(4, 2)),
        },
        tmp_path,
        text_needs_trust,
    )


def test_images(tmp_path, mini_image, photos):
    data = ImageClassification(str(photos))
    check(
        "image",
        {
            "native": image_recipe(mini_image, data, NativeHead(), full=True),
            "linear": image_recipe(mini_image, data, LinearHead()),
            "mlp": image_recipe(mini_image, data, MLPHead((4,))),
            "lstm": image_recipe(mini_image, data, LSTMHead(4, 1)),
        },
        tmp_path,
        image_needs_trust,
    )


@pytest.mark.slow
def test_texts_of_every_other_kind(tmp_path, mini_text, reviews):
    plain = TextClassification(str(reviews), label="stars")
    rows = make_texts(90)
    texts, labels = (list(column) for column in zip(*rows, strict=True))
    pairs = TextClassification(
        Dataset.from_dict({"text": texts, "other": texts[::-1], "label": labels}), text="text", text_pair="other"
    )
    many = ["fun;short" if label == "good" else "" for label in labels]
    several = TextClassification(Dataset.from_dict({"text": texts, "label": many}), label_separator=";")
    values = [2.5 if label == "good" else -1.5 for label in labels]
    numbers = TextClassification(Dataset.from_dict({"text": texts, "label": values}))
    unit = mini_text_checkpoint(tmp_path / "sentences")
    (unit / "1_Pooling").mkdir()
    (unit / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    (unit / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Normalize"}]))
    distil = mini_text_checkpoint(tmp_path / "distil", "distilbert")
    modern = mini_text_checkpoint(tmp_path / "modern", "modernbert")
    roberta = mini_text_checkpoint(tmp_path / "roberta", "roberta")
    recipes = {
        **{mode: text_recipe(mini_text, plain, LinearHead(), pooling=mode) for mode in ("cls", "mean", "max")},
        "pooler": text_recipe(mini_text, plain, LinearHead(), pooling="pooler", full=True),
        "mlp, attention": text_recipe(mini_text, plain, MLPHead((4, 3)), pooling="attention"),
        "normalize": text_recipe(unit, plain, LinearHead()),
        "normalize, mlp": text_recipe(unit, plain, MLPHead((4,)), full=True),
        "layer": text_recipe(mini_text, plain, LSTMHead(4, 1), layer=1),
        "layer, mean": text_recipe(mini_text, plain, LinearHead(), layer=1, pooling="mean"),
        "layer, native": text_recipe(mini_text, plain, NativeHead(), layer=1, full=True),
        "embeddings, lstm": text_recipe(mini_text, plain, LSTMHead(4, 2), embeddings_only=True, full=True),
        "embeddings, linear": text_recipe(mini_text, plain, LinearHead(), embeddings_only=True),
        "one way": text_recipe(mini_text, plain, LSTMHead(4, 1, bidirectional=False)),
        "new tokens": text_recipe(mini_text, plain, LSTMHead(4, 1), add_tokens=("plot", "<x>"), full=True),
        **{f"distilbert, {h}": text_recipe(distil, plain, head) for h, head in _heads().items()},
        **{f"modernbert, {h}": text_recipe(modern, plain, head) for h, head in _heads().items()},
        **{f"roberta, {h}": text_recipe(roberta, plain, head) for h, head in _heads().items()},
        **{f"pairs, {h}": text_recipe(mini_text, pairs, head) for h, head in _heads().items()},
        **{f"several labels, {h}": text_recipe(mini_text, several, head) for h, head in _heads().items()},
        **{f"regression, {h}": text_recipe(mini_text, numbers, head) for h, head in _heads().items()},
    }
    check("text", recipes, tmp_path, text_needs_trust)


@pytest.mark.slow
def test_images_of_every_other_kind(tmp_path, mini_image, photos):
    plain = ImageClassification(str(photos))
    paths = [(str(path), path.parent.name == "light") for path in sorted(photos.glob("*/*.png"))]
    write_csv(tmp_path / "numbers.csv", ["image", "label"], [(path, 0.5 + light) for path, light in paths])
    write_csv(tmp_path / "several.csv", ["image", "label"], [(path, "a;b" if light else "b") for path, light in paths])
    numbers = ImageClassification(str(tmp_path / "numbers.csv"))
    several = ImageClassification(str(tmp_path / "several.csv"), label_separator=";")
    vit = mini_image_checkpoint(tmp_path / "vit", "test_vit")
    convnext = mini_image_checkpoint(tmp_path / "convnext", "test_convnext")
    poolings = ("mean", "max", "attention")
    recipes = {
        **{mode: image_recipe(mini_image, plain, LinearHead(), pooling=mode) for mode in poolings},
        "mlp, mean": image_recipe(mini_image, plain, MLPHead((4,)), pooling="mean"),
        "layer": image_recipe(mini_image, plain, LSTMHead(4, 1), layer=2),
        "layer, linear": image_recipe(mini_image, plain, LinearHead(), layer=1),
        **{f"vit, {h}": image_recipe(vit, plain, head, image_size=None) for h, head in _heads().items()},
        **{f"convnext, {h}": image_recipe(convnext, plain, head) for h, head in _heads().items()},
        **{f"several labels, {h}": image_recipe(mini_image, several, head) for h, head in _heads().items()},
        **{f"regression, {h}": image_recipe(mini_image, numbers, head) for h, head in _heads().items()},
    }
    check("image", recipes, tmp_path, image_needs_trust)


def _heads() -> dict:
    return {"native": NativeHead(), "linear": LinearHead(), "mlp": MLPHead((4,)), "lstm": LSTMHead(4, 1)}


def test_our_classes_load_by_the_auto_classes_without_trust(tmp_path, mini_text, reviews):
    """After `import hf_transfer.hub`, and never by running the folder's own code."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    import hf_transfer.hub  # noqa: F401

    recipe = text_recipe(mini_text, TextClassification(str(reviews), label="stars"), LSTMHead(4, 1))
    run(recipe, tmp_path / "out", max_steps=1)
    (tmp_path / "out" / "modeling_transfer.py").write_text("raise SystemExit('ran the code of the folder')")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert type(model).__module__ == "hf_transfer.hub.modeling_transfer"
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) == model.config.backbone_config.vocab_size
    kinds = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert kinds <= {".json", ".safetensors", ".py", ".md", ".png"}


@pytest.mark.parametrize(
    "change,words", [("drop", "missing keys: head.out.bias"), ("add", "unexpected keys: head.odd")]
)
def test_a_head_that_is_not_whole_is_an_error(change, words, tmp_path, mini_text, reviews):
    """Not a warning after which a fresh head predicts noise."""
    from safetensors.torch import load_file, save_file

    recipe = text_recipe(mini_text, TextClassification(str(reviews), label="stars"), LinearHead())
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
