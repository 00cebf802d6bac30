"""Recipes of several stages and composed objectives: as values, as JSON, and by dotted flags."""

import json
from dataclasses import replace

import pytest

from hf_transfer import (
    BSS,
    L2SP,
    FrozenFeatures,
    FullFineTune,
    GradualUnfreeze,
    LinearHead,
    Recipe,
    Stage,
    Supervised,
    TextBackbone,
    TextClassification,
    UserError,
)
from hf_transfer.flags import apply_overrides, parse_flags, recipe_flags
from hf_transfer.helptext import recipe_help
from hf_transfer.places import place_of, places, put
from hf_transfer.recipe_json import recipe_from_dict, recipe_to_dict
from hf_transfer.stages import stages_of, with_overrides

RECIPE = Recipe(
    summary="two stages",
    data=TextClassification("rows.csv"),
    backbone=TextBackbone("some/encoder"),
    head=LinearHead(),
    strategy=(
        Stage(FrozenFeatures()),
        Stage(
            FullFineTune(layer_decay=0.9),
            training=dict(learning_rate=1e-5),
            objective=Supervised() + 0.1 * L2SP(),
        ),
    ),
    objective=Supervised() + 1e-3 * BSS(k=2),
    training=dict(learning_rate=1e-3, num_train_epochs=4),
)


def test_every_noun_has_a_place_and_can_be_put_there():
    found = places(RECIPE)
    assert list(found) == [
        "data", "backbone", "head",
        "stage.1", "stage.1.strategy",
        "stage.2", "stage.2.strategy", "stage.2.objective", "stage.2.objective.1", "stage.2.objective.2",
        "objective", "objective.1", "objective.2",
    ]  # fmt: skip
    for place, noun in found.items():
        assert put(RECIPE, place, noun) == RECIPE
    other = put(RECIPE, "stage.2.objective.2", L2SP(alpha=7.0))
    assert places(other)["stage.2.objective.2"].alpha == 7.0 and other != RECIPE
    assert places(put(RECIPE, "objective.2", BSS(k=3)))["objective.2"].k == 3
    assert place_of("stage.2.strategy.layer_decay", RECIPE) == "stage.2.strategy"
    assert place_of("stage.2.learning_rate", RECIPE) == "stage.2"
    assert place_of("stage.3.learning_rate", RECIPE) is None


def test_json_and_back():
    content = json.loads(json.dumps(recipe_to_dict(RECIPE)))
    assert content["strategy"][1]["strategy"] == {
        "kind": "FullFineTune", "layer_decay": 0.9, "slanted_triangular": False, "transforms": []
    }  # fmt: skip
    assert content["objective"]["objectives"][1] == {"kind": "BSS", "k": 2}
    assert recipe_from_dict(content) == RECIPE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["strategy"][0].update(kind="Pipeline"), "stage.1 has the kind 'Pipeline'"),
        (lambda c: c["strategy"][0]["strategy"].update(kind="run"), "stage.1.strategy has the kind 'run'"),
        (lambda c: c["strategy"][1]["strategy"].update(colour=1), "unknown field 'colour'"),
        (lambda c: c["objective"]["objectives"][1].update(k="two"), "objective.2.k is 'two'"),
        (lambda c: c["strategy"][1].update(training=3), "stage.2.training is 3"),
        (lambda c: c.update(strategy=[]), "strategy is an empty tuple"),
    ],
)
def test_what_a_file_gets_wrong_is_named(change, words):
    content = json.loads(json.dumps(recipe_to_dict(RECIPE)))
    change(content)
    with pytest.raises(UserError, match=words):
        recipe_from_dict(content)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: replace(RECIPE, strategy=(FullFineTune(),)),
            "strategy holds FullFineTune.*in a tuple: Stage",
        ),
        (lambda: replace(RECIPE, objective=L2SP()), r"objective has 0 parts Supervised\(\)"),
        (lambda: replace(RECIPE, objective=Supervised() + Supervised()), r"objective has 2 parts Supervised\(\)"),
        (lambda: Stage(LinearHead()), "stage: strategy is LinearHead"),
        (lambda: Stage(FullFineTune(), training={"learning_rate": object()}), r"stage: training\['learning_rate'\]"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_dotted_flags_reach_stages_and_parts():
    words = (
        "--stage.2.learning_rate 3e-5 --stage.2.strategy.layer_decay 0.5 --stage.1.num_train_epochs 2 "
        "--objective.2.k 5 --objective.weights 1,0.5 --stage.2.objective.2.alpha 0.2 --weight_decay 0.1"
    ).split()
    values = parse_flags(words, {**recipe_flags(RECIPE), **training()}, RECIPE)
    recipe, flat = apply_overrides(RECIPE, values)
    assert flat == {"weight_decay": 0.1}
    first, second = recipe.strategy
    assert dict(first.training) == {"num_train_epochs": 2} and dict(second.training) == {"learning_rate": 3e-5}
    assert second.strategy.layer_decay == 0.5 and second.objective.objectives[1].alpha == 0.2
    assert recipe.objective.objectives[1].k == 5 and recipe.objective.weights == (1.0, 0.5)


def training():
    from hf_transfer.flags import training_flags

    return training_flags(RECIPE)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("--stage.3.learning_rate", "unknown flag --stage.3.learning_rate; did you mean --stage.[12].learning_rate"),
        ("--stage.1.strategy.layer_decay", "this recipe's stage.1.strategy is a FrozenFeatures, with no flags"),
        ("--stage.1.output_dir", "unknown flag --stage.1.output_dir"),
    ],
)
def test_a_flag_that_is_not_there(word, words):
    with pytest.raises(UserError, match=words):
        parse_flags([word, "1"], {**recipe_flags(RECIPE), **training()}, RECIPE)


def test_the_help_shows_each_place_with_its_values():
    text = recipe_help(RECIPE, "mine.py", "run_recipe.py", {})
    assert " stage.2.strategy: FullFineTune\n" in text and "--stage.2.strategy.layer_decay 0.9" in text
    assert "--objective.weights 1.0,0.001" in text and "--stage.2.learning_rate 1e-05" in text


def test_stages_inherit_and_the_command_line_wins():
    first, second = stages_of(RECIPE)
    assert dict(first.recipe.training) == {"learning_rate": 1e-3, "num_train_epochs": 4} and not first.named
    assert second.recipe.training["learning_rate"] == 1e-5 and second.named == {"learning_rate"}
    assert second.recipe.objective == Supervised() + 0.1 * L2SP() and first.recipe.objective == RECIPE.objective
    for one in stages_of(with_overrides(RECIPE, {"learning_rate": 5.0})):
        assert one.recipe.training["learning_rate"] == 5.0
    alone = replace(RECIPE, strategy=GradualUnfreeze())
    assert [(one.recipe, one.named) for one in stages_of(alone)] == [(alone, frozenset(RECIPE.training))]
