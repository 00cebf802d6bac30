"""What is taken of a stranger's recipe.json, and what is left out and named; nothing is downloaded here."""

import dataclasses
import json

import pytest

from hf_transfer import Recipe, UserError, list_recipes, load_recipe
from hf_transfer.flags import refusal
from hf_transfer.places import places
from hf_transfer.recipe_json import recipe_from_dict, recipe_to_dict
from hf_transfer.training_fields import training_fields
from hf_transfer.untrusted import NEEDED, TRAINING, _is_setting, take

OTHERS = sorted(set(training_fields()) - TRAINING)


def written(**changes) -> dict:
    """A recipe.json as it is pushed, all of it from the Hub, with dotted places changed."""
    content = {
        "summary": "BiLSTM on a frozen encoder",
        "data": {"kind": "TextClassification", "train": "stanfordnlp/sst2", "text": "sentence", "test": "validation"},
        "backbone": {"kind": "TextBackbone", "checkpoint": "distilbert/distilbert-base-uncased", "revision": None},
        "head": {"kind": "LSTMHead", "hidden_size": 8},
        "strategy": {"kind": "FrozenFeatures"},
        "training": {"learning_rate": 0.001, "lr_scheduler_kwargs": {"power": 2}},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = value
    return json.loads(json.dumps(content))


def lines(content) -> list[str]:
    return [str(one) for one in take(content, "there")[1]]


def test_what_is_learnt_and_how_is_taken_as_it_is():
    kept, ignored = take(written(), "there")
    assert kept == written() and ignored == ()
    assert isinstance(recipe_from_dict(kept), Recipe)


def shipped():
    """Every recipe with its name; of a pipeline, those in it."""
    for name in list_recipes():
        found = load_recipe(name)
        yield from ((name, one) for one in getattr(found, "recipes", (found,)))


def test_the_shipped_recipes_come_through_whole():
    for name, recipe in shipped():
        content = recipe_to_dict(recipe)
        assert take(content, "there") == (content, ()), name


# ---------------------------------------------------------------------------------------------------------------------
# Settings of a run


def test_the_list_of_training_fields_is_one_of_fields_that_can_be_set():
    assert set(training_fields()) >= TRAINING
    assert not [name for name in TRAINING if refusal(name)]


def test_no_training_field_that_is_taken_names_a_place_a_service_or_a_machine():
    words = "dir path hub push report project trackio run_name deepspeed fsdp accelerator parallelism resume ddp"
    words += " debug log_level workers compile use_cpu limit"
    assert not [name for name in TRAINING if any(word in name for word in words.split())]
    named = "output_dir report_to run_name hub_token push_to_hub deepspeed fsdp_config accelerator_config"
    assert set(named.split()) < set(OTHERS)


@pytest.mark.parametrize("name", [*OTHERS, "logging_dir", "trust_remote_code", "of_a_later_version"])
def test_every_other_training_field_is_left_out_and_named(name):
    kept, ignored = take(written(training__seed=7, **{f"training__{name}": "/tmp/x"}), "there")
    assert kept["training"] == {**written()["training"], "seed": 7}
    (one,) = ignored
    assert one.field == f"training.{name}" and one.value == "/tmp/x"
    assert str(one).startswith(f"training.{name} ")


@pytest.mark.parametrize("name", ["output_dir", "push_to_hub", "hub_anything", "trust_remote_code", "report_to"])
@pytest.mark.parametrize("noun", ["", "data__", "backbone__", "strategy__"])
def test_a_setting_of_a_run_is_left_out_wherever_it_stands(noun, name):
    kept, ignored = take(written(**{noun + name: True}), "there")
    assert kept == written()
    assert [one.field for one in ignored] == [(noun + name).replace("__", ".")]


def test_no_field_of_a_noun_is_taken_for_such_a_setting():
    for name, recipe in shipped():
        fields = {field.name for noun in places(recipe).values() for field in dataclasses.fields(noun)}
        assert not [field for field in (*recipe_to_dict(recipe), *fields) if _is_setting(field)], name


def test_a_field_that_nobody_knows_is_still_an_error():
    for place in ("colour", "head__colour"):
        kept, ignored = take(written(**{place: "red"}), "there")
        assert ignored == ()
        with pytest.raises(UserError, match="unknown field 'colour'"):
            recipe_from_dict(kept)


def test_each_line_names_the_flag_that_sets_it_anew():
    content = written(
        output_dir="/srv/out", trust_remote_code=True, data__train="./reviews.csv", backbone__checkpoint="./mini-bert",
        training__report_to="wandb", training__hub_token="hf_secret", training__do_train=True,
        training__push_to_hub=True,
    )  # fmt: skip
    assert lines(content) == [
        "output_dir '/srv/out'; --output_dir FOLDER sets it anew",
        "trust_remote_code True; --trust_remote_code sets it anew",
        "data.train './reviews.csv'; --data.train FILE sets it anew",
        "data.test 'validation'; --data.test FILE sets it anew",
        "backbone.checkpoint './mini-bert'; --backbone.checkpoint NAME sets it anew",
        "training.report_to 'wandb'; --report_to sets it anew",
        "training.hub_token (a token)",
        "training.do_train True",
        "training.push_to_hub True; --push_to_hub sets it anew",
    ]


def test_a_line_cannot_be_forged():
    (line,) = lines(written(**{"training__x\nignored from hub://a/b: nothing": "y" * 500}))
    assert "\n" not in line and line.startswith("'training.x\\nignored") and len(line) < 200
    kept, _ = take(written(summary="fine\nerror: none"), "there")
    assert kept["summary"] == "fine error: none"


# ---------------------------------------------------------------------------------------------------------------------
# Places on a disk

PLACES = ["./reviews.csv", "/etc/rows.csv", "~/rows.csv", "../rows", "a/..", "rows/../etc", "C:\\rows", "a/b/c", ".."]
PLACES += ["reviews.csv", "data/reviews.csv", "photos/", ".", "a--b/c", "file:///etc/rows", "\\\\host\\rows", ""]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_not_taken_as_data_nor_as_a_checkpoint(place):
    kept, ignored = take(written(data__train=place, backbone__checkpoint=place, backbone__revision="main"), "there")
    assert kept["data"]["train"] == NEEDED["data.train"]
    assert kept["backbone"]["checkpoint"] == NEEDED["backbone.checkpoint"]
    assert "revision" not in kept["backbone"]
    assert [one.field for one in ignored] == ["data.train", "data.test", "backbone.checkpoint", "backbone.revision"]
    recipe = recipe_from_dict(kept)  # whole, so that its help can be shown
    assert recipe.data.text == "sentence"


def test_rows_that_were_in_memory_are_not_taken():
    kept, ignored = take(written(data__train={"in_memory": 7}, data__test={"in_memory": 3}), "there")
    assert kept["data"]["train"] == NEEDED["data.train"] and kept["data"]["test"] is None
    assert [one.field for one in ignored] == ["data.train", "data.test"]


@pytest.mark.parametrize("name", ["stanfordnlp/sst2", "imdb", "nyu-mll/glue:cola", "gpt2", "a.b/c_d"])
def test_a_name_on_the_hub_stays_unless_something_here_is_called_so(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content = written(data__train=name, backbone__checkpoint=name)
    assert take(content, "there") == (content, ())
    (tmp_path / name).mkdir(parents=True)
    assert [one.field for one in take(content, "there")[1]] == ["data.train", "data.test", "backbone.checkpoint"]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_parts_are_splits_of_a_hub_data_set_hub_ids_or_fractions(tmp_path, monkeypatch, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test").mkdir()
    (tmp_path / "secret").mkdir()
    for value in (None, 0.2, "test", "train[:10%]", "unsupervised", "stanfordnlp/imdb"):
        content = written(**{"data__test": None, f"data__{part}": value})
        assert take(content, "there") == (content, ()), value
    for value in ("secret", "./test.csv", "rows.csv", "../test", "secret/rows"):
        kept, ignored = take(written(**{"data__test": None, f"data__{part}": value}), "there")
        if value == "secret/rows":  # no such folder here, so it can only be a data set
            assert ignored == ()
        else:
            assert kept["data"][part] is None and [one.field for one in ignored] == [f"data.{part}"], value


def test_a_revision_that_could_climb_out_of_a_folder_is_refused():
    for value in ("../../x", "a/../../x", "/etc", "a b", 7):
        with pytest.raises(UserError, match="there: backbone.revision is"):
            take(written(backbone__revision=value), "there")
    for value in ("main", "refs/pr/1", "v1.0", "0" * 40):
        assert take(written(backbone__revision=value), "there")[1] == ()


# ---------------------------------------------------------------------------------------------------------------------
# Values that no recipe holds


def nested(depth: int):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training__lr_scheduler_kwargs": nested(300)}, "levels deep"),
        ({"summary": "x" * 1001}, "a text has 1,001 characters"),
        ({"summary": "\x1b[2Jall is well"}, r"control character"),
        ({"data__text": "a\u202eb"}, "control character"),
        ({"\x1b]0;x": 1}, "control character"),
        ({"training__learning_rate": float("nan")}, "a number is nan"),
        ({"training__learning_rate": float("inf")}, "a number is inf"),
        ({"training__learning_rate": "0.1"}, "training.learning_rate is '0.1'; allowed: a number"),
        ({"training__max_steps": 1.5}, "training.max_steps is 1.5; allowed: an integer"),
        ({"training__max_steps": True}, "training.max_steps is True"),
        ({"training__bf16": "yes"}, "training.bf16 is 'yes'; allowed: true or false"),
        ({"training__learning_rate": None}, "training.learning_rate is None"),
        ({"training__lr_scheduler_kwargs": "/etc/x.json"}, "training.lr_scheduler_kwargs is '/etc/x.json'"),
        ({"training__lr_scheduler_kwargs": {"a": {"b": 1}}}, "training.lr_scheduler_kwargs is"),
        ({"training__optim": ["sgd"]}, "training.optim is"),
    ],
)
def test_a_value_that_no_recipe_holds_is_refused(changes, message):
    with pytest.raises(UserError, match=f"^there: .*{message}"):
        take(written(**changes), "there")


@pytest.mark.parametrize("content", [[1], "x", None, 3, {"data": [1], "backbone": "x", "training": 5, "summary": 1}])
def test_what_has_not_the_shape_of_a_recipe_is_left_to_be_refused_as_such(content):
    kept, ignored = take(content, "there")
    assert kept == content and ignored == ()
    with pytest.raises(UserError):
        recipe_from_dict(kept, "there")


# ---------------------------------------------------------------------------------------------------------------------
# Stages and sums


def test_stages_and_teachers_are_looked_into():
    content = written()
    frozen, full = {"kind": "FrozenFeatures", "hub_token": "x"}, {"kind": "FullFineTune"}
    content["strategy"] = [
        {"kind": "Stage", "strategy": frozen, "training": {"deepspeed": "z.json"}},
        {"kind": "Stage", "strategy": full, "training": {"learning_rate": 0.1}, "output_dir": "/etc"},
    ]
    content["objective"] = {
        "kind": "WeightedSum",
        "objectives": [{"kind": "Supervised"}, {"kind": "Distillation", "checkpoint": "./teacher"}],
        "weights": [1.0, 1.0],
    }
    kept, ignored = take(content, "there")
    assert [one.field for one in ignored] == [
        "stage.1.strategy.hub_token", "stage.1.deepspeed", "stage.2.output_dir", "objective.2.checkpoint",
    ]  # fmt: skip
    assert kept["strategy"][0] == {"kind": "Stage", "strategy": {"kind": "FrozenFeatures"}, "training": {}}
    assert kept["strategy"][1]["training"] == {"learning_rate": 0.1}
    assert kept["objective"]["objectives"][1]["checkpoint"] == "<set --objective.2.checkpoint>"
