"""Recipes as values, as JSON, and by name or path."""

import copy
import dataclasses
import json
import pickle

import pytest

import hf_transfer
from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LSTMHead,
    MLPHead,
    Recipe,
    RunResult,
    TextBackbone,
    TextClassification,
    UserError,
)
from hf_transfer.hub_recipe import parse_address
from hf_transfer.recipe_files import list_recipes, load_recipe, recipe_name, recipes_folder
from hf_transfer.recipe_json import recipe_from_dict, recipe_to_dict


def make(**changes) -> Recipe:
    values = dict(
        summary="a test",
        data=TextClassification("rows.csv", text="body", label=("a", "b")),
        backbone=TextBackbone("some/checkpoint", add_tokens=("[X]",)),
        head=MLPHead(hidden_sizes=(8, 4)),
        strategy=FrozenFeatures(),
        training={"learning_rate": 1e-3, "lr_scheduler_kwargs": {"power": 2}},
    )
    return Recipe(**{**values, **changes})


class InMemory:
    """What `data.spec.Dataset` asks of a data set."""

    column_names = ["text", "label"]
    features = {}

    def select(self, indices):
        return self

    def __len__(self):
        return 7


def test_equal_values_are_equal_recipes_and_any_other_value_is_not():
    assert make() == make()
    for change in (
        {"summary": "another"},
        {"head": MLPHead(hidden_sizes=(8, 5))},
        {"strategy": FullFineTune()},
        {"training": {"learning_rate": 1e-4}},
        {"metrics": ("accuracy",)},
    ):
        assert make(**change) != make()
        assert dataclasses.replace(make(), **change) == make(**change)


def test_a_recipe_survives_pickle_deepcopy_and_asdict():
    assert pickle.loads(pickle.dumps(make())) == make()  # its own bytes: recipes travel to worker processes
    assert copy.deepcopy(make()) == make()
    assert dataclasses.asdict(make())["head"] == {"hidden_sizes": (8, 4), "dropout": 0.1}


def test_training_is_copied_and_cannot_be_changed():
    given = {"lr_scheduler_kwargs": {"power": 2}}
    recipe = make(training=given)
    given["lr_scheduler_kwargs"]["power"] = 3
    given["seed"] = 1
    assert recipe.training == {"lr_scheduler_kwargs": {"power": 2}}
    for change in (
        lambda: recipe.training.update(seed=1),
        lambda: recipe.training.__setitem__("seed", 1),
        lambda: recipe.training.pop("lr_scheduler_kwargs"),
    ):
        with pytest.raises(TypeError, match="dataclasses.replace"):
            change()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.summary = "changed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": ImageBackbone("some/net")}, "ImageBackbone reads images, but TextClassification holds texts"),
        ({"data": ImageClassification("photos")}, "TextBackbone reads texts, but ImageClassification holds images"),
        ({"head": FrozenFeatures()}, r"recipe: head is FrozenFeatures\(\); allowed: NativeHead, "),
        ({"strategy": LSTMHead()}, "recipe: strategy is LSTMHead.*allowed: FullFineTune"),
        ({"objective": LSTMHead()}, "recipe: objective is LSTMHead.*allowed: Supervised"),
        ({"objective": RunResult(".", None, {}, {})}, "recipe: objective is RunResult.*allowed: Supervised"),
        ({"data": "rows.csv"}, "recipe: data is 'rows.csv'; allowed: TextClassification"),
        ({"head": LSTMHead}, r"write LSTMHead\(...\), a value"),
        ({"summary": " "}, "summary is ' '"),
        ({"metrics": "accuracy"}, "metrics is 'accuracy'"),
        ({"metrics": ()}, r"metrics is \(\)"),
        ({"training": [1]}, r"training is \[1\]"),
        ({"training": {1: 2}}, "training has the key 1"),
        ({"training": {"learning_rate": float("nan")}}, r"training\['learning_rate'\] is nan"),
        ({"training": {"callbacks": object}}, r"training\['callbacks'\]"),
    ],
)
def test_a_wrong_part_is_refused_at_construction(change, message):
    with pytest.raises(UserError, match=message):
        make(**change)


def test_json_gives_the_same_recipe_back():
    content = json.loads(json.dumps(recipe_to_dict(make(metrics=("accuracy",)))))
    assert content["head"] == {"kind": "MLPHead", "hidden_sizes": [8, 4], "dropout": 0.1}
    assert recipe_from_dict(content) == make(metrics=("accuracy",))


def changed(path: str, value) -> dict:
    """The JSON of `make()` with one place changed."""
    content = recipe_to_dict(make())
    *parents, last = path.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    place[last] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "found list"),
        ({"summary": "x"}, "the field 'data' is missing"),
        (changed("colour", "red"), "unknown field 'colour'; allowed: summary, data, "),
        (changed("head.colour", "red"), r"head \(MLPHead\): unknown field 'colour'; allowed: hidden_sizes, dropout"),
        (changed("head.kind", "Popen"), "head has the kind 'Popen', which hf_transfer does not have"),
        (changed("head.kind", "os.system"), "head has the kind 'os.system'"),
        (changed("head.kind", "load_recipe"), "head has the kind 'load_recipe'"),
        (changed("head.kind", "UserError"), "head has the kind 'UserError'"),
        (changed("head.kind", "Recipe"), "head has the kind 'Recipe'"),
        (changed("objective.kind", "RunResult"), "objective has the kind 'RunResult'"),
        (changed("head.kind", None), "head has the kind None"),
        (changed("head", "MLPHead"), "head has the kind None"),
        (changed("head", {"kind": "FrozenFeatures"}), "head is FrozenFeatures"),
        (changed("data", {"kind": "TextClassification"}), "the field 'train' is missing"),
        (changed("backbone.max_length", "128"), "backbone.max_length is '128', which does not fit TextBackbone"),
        (changed("backbone.max_length", True), "backbone.max_length is True"),
        (changed("head.hidden_sizes", [8, "4"]), "head.hidden_sizes"),
        (changed("data.train", {"in_memory": 7}), "data.train was a data set in memory"),
    ],
)
def test_json_that_is_no_recipe_is_refused(content, message):
    with pytest.raises(UserError, match=message):
        recipe_from_dict(content)


@pytest.mark.parametrize("kind", ["antigravity", "run"])
def test_a_kind_from_a_file_imports_nothing(monkeypatch, kind):
    content = changed("head.kind", kind)
    monkeypatch.delitem(vars(hf_transfer), "run", raising=False)  # as before its first use
    monkeypatch.setattr(hf_transfer, "import_module", lambda name: pytest.fail(f"imported {name}"))
    monkeypatch.setattr("builtins.__import__", lambda *args, **kwargs: pytest.fail(f"imported {args[0]}"))
    with pytest.raises(UserError, match=f"head has the kind '{kind}'"):
        recipe_from_dict(content)


def test_a_data_set_in_memory_is_written_as_such():
    recipe = make(data=TextClassification(InMemory()))
    assert recipe_to_dict(recipe)["data"]["train"] == {"in_memory": 7}


def test_every_shipped_recipe_is_listed_with_its_summary():
    files = {
        path.relative_to(recipes_folder()).with_suffix("").as_posix()
        for path in recipes_folder().glob("*/*.py")
        if path.name != "__init__.py"
    }
    recipes = list_recipes()
    assert set(recipes) == files
    assert list(recipes) == sorted(recipes)
    assert recipes["text/lstm_frozen"] == load_recipe("text/lstm_frozen").summary
    assert recipe_name("text/lstm_frozen") == "text/lstm_frozen"


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UserError, match="no recipe 'text/lstm_frosen'; did you mean text/lstm_frozen or "):
        load_recipe("text/lstm_frosen")
    with pytest.raises(UserError, match="no recipe 'zzzzzz'; `hf-transfer list` names them all"):
        load_recipe("zzzzzz")
    with pytest.raises(UserError, match="no recipe 'text/lstm_frosen'"):
        recipe_name("text/lstm_frosen")


SOURCE = """
from hf_transfer import Recipe, TextBackbone, TextClassification

RECIPE = Recipe("mine", TextClassification("rows.csv"), TextBackbone("some/checkpoint"))
"""


def test_a_recipe_is_loaded_from_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    expected = Recipe("mine", TextClassification("rows.csv"), TextBackbone("some/checkpoint"))
    assert load_recipe(path) == load_recipe(str(path)) == expected
    assert recipe_name(path) == "mine"


def test_a_recipe_is_loaded_from_a_runs_folder_and_its_recipe_json(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(recipe_to_dict(make())), encoding="utf-8")
    assert load_recipe(folder) == load_recipe(folder / "recipe.json") == make()
    assert recipe_name(folder) == recipe_name(folder / "recipe.json") == "out"


@pytest.mark.parametrize(
    ("address", "parts", "name"),
    [
        ("hub://alice/spam", ("alice/spam", None), "alice-spam"),
        ("hub://alice/spam.v2@refs/pr/1", ("alice/spam.v2", "refs/pr/1"), "alice-spam.v2"),
        ("hub://a-b/c_d@" + "0" * 40, ("a-b/c_d", "0" * 40), "a-b-c_d"),
    ],
)
def test_an_address_on_the_hub(address, parts, name):
    found = parse_address(address)
    assert (found.repo_id, found.revision) == parts and str(found) == address
    assert recipe_name(address) == name


NO_ADDRESSES = "hub:// hub://alice hub://alice/ hub:///spam hub://a/b/c hub://../.. hub://a--b/c hub://alice/spam@"
NO_ADDRESSES += " hub://alice/spam@../x hub://alice/spam@/x hub://alice/spam@a/../b"


@pytest.mark.parametrize("address", [*NO_ADDRESSES.split(), "hub://a b/c", "hub://alice/spam@a b"])
def test_what_is_no_address_is_told_the_form_of_one(address):
    for function in (load_recipe, recipe_name):
        with pytest.raises(UserError, match="is no address of a recipe; allowed: hub://user/name, or "):
            function(address)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.py", None, "gone.py' does not exist"),
        ("gone.json", None, "gone.json' does not exist"),
        ("typo.py", b"RECIPE = Recipe(\n", "typo.py, line 1: "),
        ("empty.py", b"x = 1\n", r"empty.py: expected RECIPE = Recipe\(...\), found nothing of that name"),
        ("wrong.py", b"RECIPE = {}\n", "wrong.py: expected .* found dict"),
        ("broken.json", b'{\n"summary": \n', "broken.json, line 3: not JSON"),
        ("latin.json", '{"summary": "é"}'.encode("latin-1"), "latin.json: not UTF-8 text"),
        ("kind.json", json.dumps(changed("head.kind", "Popen")).encode(), "kind.json: head has the kind 'Popen'"),
    ],
)
def test_a_file_that_holds_no_recipe_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_recipe(tmp_path / name)
