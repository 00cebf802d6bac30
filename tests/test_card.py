"""The card states what the result holds, parses as the Hub reads it, and gives no local path away."""

import copy
import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml

from hf_transfer.card import model_card

# the sample result of test_results, loaded by path: tests are no package
_spec = importlib.util.spec_from_file_location("sample_results", Path(__file__).with_name("test_results.py"))
_samples = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_samples)
make, regression = _samples.make, _samples.regression

SNIPPET = 'from transformers import pipeline\npipeline("text-classification", model="MODEL")'


def metadata(card: str) -> dict:
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def recipe_in(card: str) -> dict:
    return json.loads(re.search(r"```json\n(.*?)\n```", card, re.DOTALL)[1])


def test_what_the_card_says():
    card = model_card(make(), SNIPPET)
    assert f"```python\n{SNIPPET}\n```" in card
    for line in (
        "# BiLSTM head on a frozen encoder",
        "- **Backbone:** `encoder` (local)",
        "- **Head:** LSTMHead, **strategy:** FrozenFeatures",
        "- **Labels (2):** ham, spam",
        "|  | accuracy | 95% interval | macro-F1 | loss |",
        "| test | 0.9871 | 0.9788 to 0.9934 | 0.9683 | 0.0523 |",
        "| majority class | 0.8764 |  |  |  |",
        "| spam | 0.9421 | 0.9440 | 0.9431 | 120 |",
        "- **Data:** `reviews.csv` (local)",
        "- **Rows:** train 3,129, validation 433, test 1,972",
        "- **Dropped:** 328 train rows that repeat in validation or test",
        "- **Seeds:** training 42, split 7",
        "- the labels of reviews.csv are strings: classes",
        "- Only the first 128 tokens of a text were used in training.",
    ):
        assert line in card.splitlines()


def test_metadata_of_local_sources_claims_nothing():
    assert metadata(model_card(make(), SNIPPET)) == {
        "pipeline_tag": "text-classification",
        "library_name": "transformers",
        "tags": ["hf-transfer-recipes", "transfer-learning", "text-lstm_frozen"],
    }


def test_metadata_of_hub_sources():
    recipe = {
        "data": {"kind": "ImageClassification", "train": "uoft-cs/cifar10:plain"},
        "backbone": {"kind": "ImageBackbone", "checkpoint": "timm/resnet18.a1_in1k"},
    }
    found = {"base_model": "timm/resnet18.a1_in1k", "datasets": ["uoft-cs/cifar10"]}
    card = model_card(make(recipe=recipe, checkpoint="timm/resnet18.a1_in1k", hub_sources=found), SNIPPET)
    got = metadata(card)
    assert got["pipeline_tag"] == "image-classification"
    assert got["base_model"] == "timm/resnet18.a1_in1k" and got["datasets"] == ["uoft-cs/cifar10"]
    assert "- **Backbone:** `timm/resnet18.a1_in1k`\n" in card and "- **Data:** `uoft-cs/cifar10:plain`\n" in card
    assert "(local)" not in card and "tokens" not in card
    assert recipe_in(card)["backbone"]["checkpoint"] == "timm/resnet18.a1_in1k"


@pytest.mark.parametrize("name", ["no", "1e3", "true", "a: b", "org/name", "text/x #1"])
def test_names_that_yaml_would_read_otherwise(name):
    card = model_card(make(hub_sources={"base_model": name, "datasets": [name]}), SNIPPET)
    assert metadata(card)["base_model"] == name and metadata(card)["datasets"] == [name]


def test_no_local_path_gets_out():
    recipe = {
        "data": {
            "kind": "TextClassification",
            "train": "/home/ada/secret/train.csv",
            "test": "data/private/test.csv",
            "validation": "C:\\Users\\ada\\valid.csv",
            "label_separator": "/",
        },
        "backbone": {"kind": "TextBackbone", "checkpoint": "models/encoder"},
        "training": {
            "logging_dir": "/home/ada/logs/run1",
            "learning_rate": 0.1,
            "accelerator_config": ["~/ada/a.json"],
        },
    }
    notes = ["/home/ada/secret/train.csv and data/private/test.csv share 3/4 of their rows"]
    card = model_card(make("/home/ada/out", recipe=recipe, checkpoint="models/encoder", notes=notes), SNIPPET)
    assert not re.search(r"ada|secret|private|models/", card)
    kept = recipe_in(card)
    assert kept["data"] == {
        "kind": "TextClassification",
        "train": "train.csv",
        "test": "test.csv",
        "validation": "valid.csv",
        "label_separator": "/",
    }
    assert kept["training"] == {"logging_dir": "run1", "learning_rate": 0.1, "accelerator_config": ["a.json"]}
    assert "- train.csv and test.csv share 3/4 of their rows" in card


def test_odd_names_break_neither_table_nor_page():
    rows = [{"name": "a|b<script>\nc", "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}]
    card = model_card(make(labels=["a|b<script>\nc"], per_class=rows), SNIPPET)
    assert "| a\\|b&lt;script> c | 1.0000 | 1.0000 | 1.0000 | 1 |" in card.splitlines()
    assert "<script>" not in card
    assert "````python\nsay('```')\n````" in model_card(make(), "say('```')")


def test_a_result_below_the_baseline_is_said():
    card = model_card(regression(2.5), SNIPPET)
    assert "**Not better than the baseline: test MSE 2.5000 is not below 2.0000 (train mean)" in card
    assert "- **Predicts:** stars" in card and "Every input gets one of the labels" not in card
    assert "Not better" not in model_card(make(), SNIPPET)


def test_the_card_is_a_pure_function():
    result = make()
    before = copy.deepcopy(result)
    assert model_card(result, SNIPPET) == model_card(result, SNIPPET)
    assert result == before
