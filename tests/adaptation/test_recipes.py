"""Every recipe of two domains really runs: two steps on a few rows of the embedded demo."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hf_transfer import list_recipes, load_recipe, run
from hf_transfer.demo import demo_recipe

TWO_STEPS = dict(max_steps=2, per_device_train_batch_size=4)
NAMES = [name for name in list_recipes() if name.startswith("adaptation/")]
IN_SHORT = [f"adaptation/{name}" for name in ("coral_image", "dann_text", "tradaboost_text")]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Sixty messages of each class, or twelve pictures of each digit, of each domain as the demo writes it."""
    folder = tmp_path_factory.mktemp("few")

    def cut(recipe):
        found = {}
        for name in ("source", "target"):
            spec = getattr(recipe.data, name)
            place = folder / f"{recipe.backbone.modality}-{name}"
            if recipe.backbone.modality == "text":
                with open(spec.train, encoding="utf-8") as file:
                    header, *lines = file.read().splitlines()
                by_class = ([line for line in lines if line.split("\t")[1] == label] for label in ("spam", "ham"))
                chosen = [line for of_class in by_class for line in of_class[:60]]
                place = place.with_suffix(".tsv")
                place.write_text("\n".join([header, *chosen]) + "\n", encoding="utf-8")
            elif not place.exists():
                for digit in range(10):
                    (place / str(digit)).mkdir(parents=True)
                    for image in sorted(Path(spec.train, str(digit)).iterdir())[:12]:
                        shutil.copy(image, place / str(digit))
            found[name] = replace(spec, train=str(place))
        return replace(recipe, data=replace(recipe.data, **found))

    return cut


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_SHORT else pytest.mark.slow) for name in NAMES]
)
def test_demo(name, few, tmp_path):
    recipe = few(demo_recipe(load_recipe(name)))
    solved = recipe.strategy.frozen_depth(1) >= 1
    result = run(recipe, tmp_path / "out", name=name, **({} if solved else TWO_STEPS))
    domains = result.data["domains"]
    assert set(domains["scores"]["model"]) == {"source", "target"}
    assert ("verdict" in domains) == (not name.startswith("adaptation/source_only"))
    assert ("weighting" in domains) == (recipe.data.weights is not None)
