"""Transforms as values in a recipe: JSON, places, flags, help, and the saved model of a whole run."""

import json

import pytest

from hf_transfer import (
    FreezeBatchNorm,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    NativeHead,
    Recipe,
    ReinitTop,
    Stage,
    StochNorm,
    UserError,
    load,
    run,
)
from hf_transfer.flags import apply_overrides, parse_flags, recipe_flags
from hf_transfer.helptext import recipe_help
from hf_transfer.places import places
from hf_transfer.recipe_json import recipe_from_dict, recipe_to_dict

BOTH = (StochNorm(p=0.5), ReinitTop(k=1))


def recipe(photos, net="net", strategy=None) -> Recipe:
    return Recipe(
        summary="transforms",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(net), image_size=32),
        head=NativeHead(),
        strategy=FullFineTune(transforms=BOTH) if strategy is None else strategy,
        training=dict(max_steps=2, per_device_train_batch_size=4),
    )


@pytest.mark.parametrize("staged", [False, True])
def test_json_places_and_flags(staged):
    strategy = FullFineTune(transforms=BOTH)
    made = recipe("photos/", strategy=(Stage(FullFineTune()), Stage(strategy)) if staged else strategy)
    assert recipe_from_dict(json.loads(json.dumps(recipe_to_dict(made)))) == made
    place = "stage.2.strategy" if staged else "strategy"
    assert places(made)[f"{place}.transforms.2"] == ReinitTop(k=1)
    flags = recipe_flags(made)
    assert f"{place}.transforms" not in flags
    words = [f"--{place}.transforms.2.k", "2", f"--{place}.transforms.1.p", "0.25", f"--{place}.layer_decay", "0.5"]
    changed, _ = apply_overrides(made, parse_flags(words, flags, made))
    found = changed.strategy[1].strategy if staged else changed.strategy
    assert found == FullFineTune(layer_decay=0.5, transforms=(StochNorm(p=0.25), ReinitTop(k=2)))
    assert f"{place}.transforms.1: StochNorm" in recipe_help(made, "x", "run", {})


def test_a_file_cannot_name_another_kind():
    content = recipe_to_dict(recipe("photos/"))
    content["strategy"]["transforms"][0] = {"kind": "FullFineTune"}
    with pytest.raises(UserError, match="strategy.transforms holds"):
        recipe_from_dict(content)


def test_the_saved_net_is_a_stock_one(mini_image, photos, tmp_path):
    run(recipe(photos, mini_image), tmp_path / "out")
    kinds = {type(module).__name__ for module in load(tmp_path / "out").model.modules()}
    assert "BatchNorm2d" in kinds and not any(name.startswith("Stochastic") for name in kinds)


def test_a_net_without_it_is_told_before_anything_trains(mini_image, photos, tmp_path):
    from mini import mini_image_checkpoint

    vit = mini_image_checkpoint(tmp_path / "vit", "test_vit")
    made = recipe(photos, vit, FullFineTune(transforms=(FreezeBatchNorm(),)))
    with pytest.raises(UserError, match="FreezeBatchNorm needs BatchNorm, and test_vit has none"):
        run(made, tmp_path / "out")
