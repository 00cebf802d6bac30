"""Push what is more than one model: a fused one, whose parts have folders of their own, and a mixture of tasks."""

import pytest
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv, write_text_images
from PIL import Image
from push_client import REPO, TOKEN, listed

from hf_transfer import (
    FrozenFeatures,
    FusedBackbone,
    ImageBackbone,
    LinearHead,
    Recipe,
    TaskMixture,
    TextBackbone,
    TextClassification,
    TextImageClassification,
    load,
)
from hf_transfer import run as train

pytestmark = pytest.mark.hub
PICTURE = Image.new("RGB", (8, 8), (200, 30, 30))


def fused(folder) -> Recipe:
    parts = {
        "words": TextBackbone(mini_text_checkpoint(folder / "bert"), max_length=32),
        "image": ImageBackbone(mini_image_checkpoint(folder / "cnn"), image_size=32),
    }
    data = TextImageClassification(str(write_text_images(folder / "data", 60)))
    return Recipe("fused", data, FusedBackbone(parts), LinearHead(), FrozenFeatures())


def mixture(folder) -> Recipe:
    tasks = {
        name: TextClassification(str(write_csv(folder / f"{name}.csv", ["text", "label"], make_texts(60, seed))))
        for seed, name in enumerate(("mood", "tone"))
    }
    backbone = TextBackbone(mini_text_checkpoint(folder / "bert"), max_length=32)
    return Recipe("two tasks", TaskMixture(tasks), backbone, training=dict(max_steps=2))


@pytest.mark.parametrize(("make", "inside"), [(fused, "words/tokenizer.json"), (mixture, "tokenizer.json")])
def test_what_arrives_is_the_run_and_loads(make, inside, hub, client, home, tmp_path):
    place = home / tmp_path.name
    place.mkdir()
    train(make(place), place / "out", dtype="float32")
    client.push(place / "out")
    files = hub.repos[REPO].files
    assert sorted(files) == listed(place / "out") and inside in files
    assert not any(str(home).encode() in content for content in files.values())
    folder = client.ask("download", repo_id=REPO, cache=str(tmp_path / "cache"), token=TOKEN)["done"]
    theirs, ours = load(folder), load(place / "out")
    if make is fused:
        assert theirs.predict([("a lovely film", PICTURE)]) == ours.predict([("a lovely film", PICTURE)])
    else:
        for task in ("mood", "tone"):
            assert theirs[task].predict(["a lovely film"]) == ours[task].predict(["a lovely film"])
