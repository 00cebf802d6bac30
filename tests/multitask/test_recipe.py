"""The recipe and its demo, the nouns' way through JSON and flags, and what is refused before anything is read."""

import csv
import json
from dataclasses import replace

import pytest
from mini import make_texts, mini_text_checkpoint, write_csv

from hf_transfer import (
    DELTA,
    FrozenFeatures,
    ImageClassification,
    LinearHead,
    LSTMHead,
    NativeHead,
    Recipe,
    Supervised,
    TaskMixture,
    TextBackbone,
    TextClassification,
    UserError,
    load_recipe,
    run,
)
from hf_transfer.demo import demo_recipe
from hf_transfer.flags import apply_overrides, parse_flags, recipe_flags
from hf_transfer.recipe_json import recipe_from_dict, recipe_to_dict
from hf_transfer.untrusted import take

TEXT = TextClassification("a.csv")


def recipe(**changes) -> Recipe:
    data = TaskMixture({"a": TEXT, "b": TextClassification("b.csv")})
    return Recipe(**{**dict(summary="two", data=data, backbone=TextBackbone("x/y")), **changes})


def test_the_demo_makes_two_tasks_of_distinct_messages():
    made = demo_recipe(load_recipe("multitask/glue_pair")).data
    assert list(made.tasks) == ["sst2", "stsb"] and made.sampling == "temperature"
    tables = {}
    for name, task in made.tasks.items():
        with open(task.train, encoding="utf-8", newline="") as file:
            tables[name] = list(csv.DictReader(file, delimiter="\t"))
    assert {row["label"] for row in tables["sst2"]} == {"ham", "spam"}
    spam, pairs = ({row["text"] for row in tables[name]} for name in ("sst2", "stsb"))
    assert not spam & pairs and len(spam) == len(tables["sst2"]) and len(pairs) == len(tables["stsb"])
    for row in tables["stsb"][:200]:  # the label is the share of the first text that the second one begins with
        own, other = row["text"].split(), row["second"].split()
        kept = round(float(row["label"]) / 5 * len(own))
        assert len(own) == len(other) and own[:kept] == other[:kept]
        assert float(row["label"]) == pytest.approx(5 * kept / len(own), abs=0.0051)


@pytest.mark.slow
def test_two_steps_of_the_demo(tmp_path):
    made = demo_recipe(load_recipe("multitask/glue_pair"))
    result = run(made, tmp_path / "out", max_steps=2, per_device_train_batch_size=4)
    assert list(result.data["tasks"]) == ["sst2", "stsb"]


def test_two_steps_on_its_own_architecture(tmp_path, tasks):
    shipped = load_recipe("multitask/glue_pair")
    net = mini_text_checkpoint(tmp_path / "net", "distilbert")
    data = replace(shipped.data, tasks=dict(zip(("sst2", "stsb"), tasks.values(), strict=True)))
    backbone = replace(shipped.backbone, checkpoint=str(net), max_length=32)
    result = run(replace(shipped, data=data, backbone=backbone), tmp_path / "out", max_steps=2)
    assert result.headline["of"] == {"sst2": "accuracy", "stsb": "pearson"}


def test_json_and_back():
    one = recipe(
        head={"b": LSTMHead(hidden_size=4), "a": NativeHead()},
        data=TaskMixture({"a": TEXT, "b": TextClassification("b.csv")}, weights={"b": 2, "a": 1}),
    )
    content = json.loads(json.dumps(recipe_to_dict(one)))
    assert recipe_from_dict(content) == one
    assert list(content["data"]["tasks"]) == list(content["head"]) == ["a", "b"]


def test_flags_reach_each_task():
    one = recipe(
        head={"a": LinearHead(), "b": LSTMHead()},
        data=TaskMixture({"a": TextClassification("a.csv", text="body"), "b": TextClassification("b.csv")}),
    )
    words = "--data.tasks.a.train new.csv --data.sampling temperature --data.temperature 4 --head.b.num_layers 1"
    words += " --data.tasks.b.problem_type regression --data.weights uncertainty"
    changed, training = apply_overrides(one, parse_flags(words.split(), recipe_flags(one), one))
    assert changed.data == TaskMixture(
        {"a": TextClassification("new.csv"), "b": TextClassification("b.csv", problem_type="regression")},
        sampling="temperature", temperature=4, weights="uncertainty",
    )  # fmt: skip
    assert changed.head == {"a": LinearHead(), "b": LSTMHead(num_layers=1)} and not training
    words = ["--data.weights", '{"a": 1, "b": 0.5}']
    changed, _ = apply_overrides(one, parse_flags(words, recipe_flags(one), one))
    assert changed.data.weights == {"a": 1.0, "b": 0.5}


def test_a_strangers_recipe_brings_no_places_of_any_task():
    content = recipe_to_dict(recipe(data=TaskMixture({"a": TextClassification("/home/me/a.csv"), "b": TEXT})))
    content["data"]["tasks"]["b"]["train"] = "user/reviews"
    content["data"]["tasks"]["b"]["output_dir"] = "/tmp"
    kept, ignored = take(content, "recipe.json")
    assert [one.field for one in ignored] == ["data.tasks.a.train", "data.tasks.b.output_dir"]
    tasks = recipe_from_dict(kept).data.tasks
    assert tasks["a"].train == "<set --data.tasks.a.train>" and tasks["b"].train == "user/reviews"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TaskMixture({}), "data.tasks is empty"),
        (lambda: TaskMixture({"a": TEXT, "b": ImageClassification("c")}), "one backbone reads all tasks"),
        (lambda: TaskMixture([("a", TEXT), ("a", TEXT)]), "the name 'a' stands there twice"),
        (lambda: TaskMixture({"a": TEXT, "A": TEXT}), "the name 'A' stands there twice, as 'a'"),
        (lambda: TaskMixture({"a.b": TEXT}), "the name 'a.b' cannot be one"),
        (lambda: TaskMixture({"a": "a.csv"}), "data.tasks.a is 'a.csv'; allowed: TextClassification"),
        (lambda: recipe(head={"a": NativeHead()}), "head has none for the task 'b'"),
        (lambda: recipe(head={"a": NativeHead(), "c": NativeHead()}), "head names 'c', which is no task; tasks: a, b"),
        (lambda: recipe(data=TEXT, head={"a": NativeHead()}), "head is a mapping, and TextClassification is one task"),
    ],
)
def test_bad_input_is_told_at_construction(make, said):
    with pytest.raises(UserError, match=said):
        make()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(objective=Supervised() + 0.1 * DELTA()), "objective DELTA is made for one task"),
        (dict(head=LinearHead(l2=0.1)), "task mood: head.fit lbfgs and head.l2 are for one task"),
        (
            dict(strategy=FrozenFeatures(), mixture=dict(weights="uncertainty")),
            "data.weights uncertainty weighs tasks that pull at one backbone",
        ),
        (dict(metrics=("accuracy", "nonsense")), "metrics: 'nonsense' is not one"),
        (
            dict(training=dict(metric_for_best_model="mood_pearson")),
            "metric_for_best_model is 'mood_pearson'; allowed",
        ),
        (dict(training=dict(train_sampling_strategy="batch_rebalance")), "train_sampling_strategy is 'batch_reb"),
    ],
)
def test_what_a_run_refuses_before_it_trains(recipe_of, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        run(recipe_of(**changes), tmp_path / "out")


def test_what_is_wrong_with_a_task_names_it(recipe_of, tmp_path):
    one = recipe_of("mood")
    data = TaskMixture({**one.data.tasks, "other": TextClassification(str(tmp_path / "nothing.csv"))})
    with pytest.raises(UserError, match="^task other: "):
        run(replace(one, data=data), tmp_path / "out")
    unlike = write_csv(tmp_path / "unlike.csv", ["text", "mark"], make_texts(20))
    data = TaskMixture({**one.data.tasks, "other": TextClassification(str(unlike))})
    with pytest.raises(UserError, match="choose one with --data.tasks.other.label, columns: text, mark"):
        run(replace(one, data=data), tmp_path / "out")


def test_texts_that_another_task_trains_on_are_told(recipe_of, tmp_path):
    one, texts = recipe_of("mood"), make_texts(120)
    same = write_csv(tmp_path / "same.csv", ["text", "label"], [(text, len(text)) for text, _ in texts])
    other = TextClassification(str(same), problem_type="regression", split_seed=1)
    data = TaskMixture({**one.data.tasks, "length": other})
    result = run(replace(one, data=data), tmp_path / "out", max_steps=2)
    told = [note for note in result.data["notes"] if "also stand in the train rows of" in note]
    assert [note.partition(":")[0] for note in told] == ["mood", "length"]
    assert "test texts also stand in the train rows of length, under that task's labels" in told[0]
