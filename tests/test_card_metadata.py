"""The metadata of a card: complete, taken by the Hub, and read back as they were written by both readers of YAML."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from card_rules import Yaml12, problems

from hf_transfer import UserError
from hf_transfer.card import model_card
from hf_transfer.card.metadata import REQUIRED, card_data, check_metadata
from hf_transfer.licenses import LICENSES

_spec = importlib.util.spec_from_file_location("sample_results", Path(__file__).with_name("test_results.py"))
_samples = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_samples)
make, regression = _samples.make, _samples.regression

SNIPPET = "pipeline()"
CHINESE = {"data": {"kind": "TextClassification", "train": "/home/ada/评论 数据.csv"}, "summary": "中文 评论"}


def metadata(result, loader=yaml.SafeLoader) -> dict:
    card = model_card(result, SNIPPET)
    assert card.startswith("---\n")
    return yaml.load(card.split("---\n")[1], loader)


def on_the_hub(train="org/data:small", base="org/encoder", test=None, **changes):
    recipe = {
        "data": {"kind": "TextClassification", "train": train, "test": test},
        "backbone": {"kind": "TextBackbone", "checkpoint": base},
    }
    sources = {"base_model": base, "datasets": [train.partition(":")[0]]}
    return make(recipe=recipe, checkpoint=base, hub_sources=sources, **changes)


RESULTS = {
    "local": make(),
    "hub": on_the_hub(license="mit", language=["en"], license_from="given"),
    "regression": regression(),
    "undefined metric": make(metrics={"test": {"accuracy": 0.9, "roc_auc": float("nan"), "ece": None, "loss": 1e-05}}),
    "other license": make(license="other", license_name="acme-1.0", license_link="https://acme.test/l"),
    "norwegian": make(language=["no", "nn"]),
    "chinese": make(name=None, recipe=CHINESE, labels=["正面", "no"]),
    "in memory": make(recipe={"data": {"kind": "TextClassification", "train": {"in_memory": 12}}}),
    "odd data name": make(recipe={"data": {"kind": "TextClassification", "train": "/a/b: c #1 'x' \"y\"\n- z.csv"}}),
    **{
        f"named {name!r}": make(name=name) for name in ("no", "1e3", "0o7", "true", "null", "a: b", "text/x #1", "- x")
    },
    **{f"on {name!r}": on_the_hub(name, name) for name in ("no", "1e3", "0x1F", "2024-01-01", "1.0", "org/1e3")},
}


@pytest.mark.parametrize("name", RESULTS)
def test_they_come_back_as_they_were_built_and_the_hub_takes_them(name):
    from huggingface_hub import ModelCard

    result = RESULTS[name]
    built, text = card_data(result).to_dict(), model_card(result, SNIPPET)
    assert ModelCard(text).data.to_dict() == built
    assert metadata(result) == metadata(result, Yaml12) == built
    assert problems(text) == ([], [])
    check_metadata(built)
    assert "verified" not in text


def test_local_sources_claim_nothing():
    found = metadata(make())
    index = found.pop("model-index")
    assert found == {
        "license": "unknown",
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "metrics": ["accuracy", "f1"],
        "tags": ["hf-transfer-recipes", "transfer-learning", "text-lstm_frozen"],
    }
    assert index[0]["name"] == "text/lstm_frozen"
    assert index[0]["results"][0]["dataset"] == {
        "name": "reviews.csv", "type": "csv", "split": "test", "args": {"rows": 1972},
    }  # fmt: skip


def test_hub_sources_are_named():
    found = metadata(on_the_hub(license="mit", language=["en", "zh"]))
    assert (found["base_model"], found["base_model_relation"]) == ("org/encoder", "finetune")
    assert found["datasets"] == ["org/data"]
    assert (found["license"], found["language"]) == ("mit", ["en", "zh"])
    dataset = found["model-index"][0]["results"][0]["dataset"]
    assert (dataset["type"], dataset["name"], dataset["config"]) == ("org/data", "org/data", "small")


def test_a_model_that_was_trained_further_is_the_base_model():
    further = on_the_hub(start_from={"source": "ada/spam", "revision": "0" * 40})
    assert metadata(further)["base_model"] == "ada/spam"
    local = on_the_hub(start_from={"source": "/home/ada/out", "revision": None})
    assert metadata(local)["base_model"] == "org/encoder"
    assert "- **Trained further from:** `ada/spam`\n" in model_card(further, SNIPPET)
    card = model_card(local, SNIPPET)
    assert "- **Trained further from:** `out` (local)\n" in card and "/home" not in card


def test_every_test_metric_is_there_and_the_headline_with_its_interval():
    scores = {"accuracy": 0.9871, "macro_f1": 0.96, "weighted_precision": 0.95, "pearson": 0.4, "loss": 0.05}
    found = metadata(make(metrics={"validation": {"accuracy": 0.5}, "test": scores}))
    metrics = found["model-index"][0]["results"][0]["metrics"]
    assert metrics == [
        {"type": "accuracy", "value": 0.9871, "name": "accuracy", "args": {"ci95": [0.9788, 0.9934]}},
        {"type": "f1", "value": 0.96, "name": "macro-F1", "args": {"average": "macro"}},
        {"type": "precision", "value": 0.95, "name": "weighted prec.", "args": {"average": "weighted"}},
        {"type": "pearsonr", "value": 0.4, "name": "Pearson"},
        {"type": "loss", "value": 0.05, "name": "loss"},
    ]
    assert found["metrics"] == ["accuracy", "f1", "precision", "pearsonr"]


@pytest.mark.parametrize(
    ("data", "notes", "expected"),
    [
        ({"train": "org/a", "test": "validation"}, [], ("org/a", "validation", None)),
        ({"train": "org/a", "test": None}, [], ("org/a", "test", None)),
        (
            {"train": "org/a", "train_split": "train[:10%]"},
            ["test: 20 rows cut from train (0.2, stratified, seed 0)"],
            ("org/a", "train[:10%]", "0.2, stratified, seed 0"),
        ),
        ({"train": "x.csv", "test": "held/out.jsonl"}, [], ("json", "test", None)),
        ({"train": "x.csv", "test": "org/b"}, [], ("org/b", "test", None)),
        ({"train": "x.tsv", "test": 0.2}, ["test: 4 rows cut from train (0.2, s 3)"], ("csv", "train", "0.2, s 3")),
        ({"train": "x.parquet"}, ["validation: 4 rows cut from train (0.1, seed 3)"], ("parquet", "test", None)),
        ({"train": "photos/", "kind": "ImageClassification"}, [], ("imagefolder", "test", None)),
        ({"train": {"in_memory": 3}}, [], ("generator", "test", None)),
    ],
)  # fmt: skip
def test_where_the_test_rows_are_from(data, notes, expected):
    data = {"kind": "TextClassification", **data}
    result = make(recipe={"data": data}, notes=notes, hub_sources={"datasets": ["org/a", "org/b"]})
    found = metadata(result)["model-index"][0]["results"][0]["dataset"]
    assert (found["type"], found["split"], found["args"].get("cut")) == expected


def test_a_data_name_is_one_line_without_its_folder():
    found = metadata(RESULTS["odd data name"])["model-index"][0]["results"][0]["dataset"]
    assert (found["name"], found["type"]) == ("b: c #1 'x' \"y\" - z.csv", "csv")


def test_revision_and_fingerprint_of_the_data():
    data = {"kind": "TextClassification", "train": "org/data", "revision": "1234567890" * 4}
    sizes = {"test": 5, "fingerprint": "12e4"}
    result = make(recipe={"data": data}, data=sizes, hub_sources={"datasets": ["org/data"]})
    for loader in (yaml.SafeLoader, Yaml12):
        found = metadata(result, loader)["model-index"][0]["results"][0]["dataset"]
        assert (found["revision"], found["args"]) == ("1234567890" * 4, {"rows": 5, "fingerprint": "12e4"})


def test_the_task_is_that_of_the_data():
    recipe = {"data": {"kind": "ImageClassification", "train": "photos/"}}
    found = metadata(make(recipe=recipe))
    assert found["pipeline_tag"] == "image-classification"
    assert found["model-index"][0]["results"][0]["task"] == {
        "type": "image-classification", "name": "Image Classification",
    }  # fmt: skip


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(key):
    found = metadata(make())
    check_metadata(found)
    with pytest.raises(UserError, match=f"lack '{key}'"):
        check_metadata({name: value for name, value in found.items() if name != key})
    with pytest.raises(UserError, match=f"lack '{key}'"):
        check_metadata({**found, key: None})


@pytest.mark.parametrize("key", ["task", "dataset", "metrics"])
def test_a_result_that_is_not_whole_is_named(key):
    found = metadata(make())
    del found["model-index"][0]["results"][0][key]
    with pytest.raises(UserError, match=f"lack '{key}' in a result"):
        check_metadata(found)


def test_a_card_without_test_metrics_is_refused():
    with pytest.raises(UserError, match="'metrics'"):
        model_card(make(metrics={"test": {}}), SNIPPET)


# ---------------------------------------------------------------------------------------------------------------------
# The rules that the cards above are held against


def broken(change) -> list[str]:
    found = metadata(on_the_hub(license="mit", language=["en"]))
    change(found)
    return problems("---\n" + yaml.dump(found) + "---\n")[0]


def first_result(found: dict) -> dict:
    return found["model-index"][0]["results"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(license="apache"), '"license" must be one of'),
        (lambda m: m.update(language=["english"]), 'language\\[0\\]" with value "english"'),
        (lambda m: m.update(language=[False]), 'with value "False"'),
        (lambda m: m.update(base_model="/home/ada/net"), "Use a model id"),
        (lambda m: m.update(base_model_relation="child"), "base_model_relation"),
        (lambda m: m.update(datasets=["my data"]), "Use a dataset id"),
        (lambda m: m.update(datasets=[1000.0]), "must be a string"),
        (lambda m: m.update({"model-index": {}}), "must be an array"),
        (lambda m: m["model-index"][0].pop("name"), '.name" is required'),
        (lambda m: first_result(m)["dataset"].update(type="my data.csv"), "required pattern"),
        (lambda m: first_result(m)["dataset"].pop("name"), 'dataset.name" is required'),
        (lambda m: first_result(m)["dataset"].update(revision=123), 'revision" must be a string'),
        (lambda m: first_result(m)["metrics"][0].update(config={"a": 1}), 'config" must be a string'),
        (lambda m: first_result(m)["metrics"][0].pop("value"), 'value" is required'),
        (lambda m: first_result(m).update(metrics={}), 'metrics" must be an array'),
    ],
)
def test_the_rules_find_what_the_hub_refuses(change, words):
    assert any(re.search(words, line) for line in broken(change))


def test_the_rules_read_yaml_as_the_hub_does():
    assert problems("---\ndatasets: [1e3]\n---\n")[0] == ['"datasets[0]" must be a string']
    assert problems("---\nlanguage: no\n---\n") == ([], [])
    assert problems("---\na: [1\n---\n")[0][0].startswith("YAML: ")
    assert problems("no block")[1] and problems("---\npipeline_tag: odd\n---\n")[1]
    assert all(problems(f"---\nlicense: {one}\n---\n") == ([], []) for one in LICENSES)
