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

ROOT = Path(__file__).resolve().parents[1]
SNIPPET = 'from transformers import pipeline\npipeline("text-classification", model="MODEL")'


def recipe_in(card: str) -> dict:
    return json.loads(re.search(r"```json\n(.*?)\n```", card, re.DOTALL)[1])


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0].strip()


def test_what_the_card_says():
    card = model_card(make(throughput={"features_per_s": 1250.5, "train_samples_per_s": None}), SNIPPET)
    assert f"```python\n{SNIPPET}\n```" in card
    for title, line in (
        ("The recipe", "<summary>recipe.json</summary>"),
        ("The data", "- **Data:** `reviews.csv` (local)"),
        ("The data", "- **Rows:** train 3,129, validation 433, test 1,972"),
        ("The data", "- **Dropped:** 328 train rows that repeat in validation or test"),
        ("The data", "- **Split seed:** 7"),
        ("The data", "- the labels of ./reviews.csv are strings: classes"),
        ("Evaluation", "|  | accuracy | 95% interval | macro-F1 | loss |"),
        ("Evaluation", "| test | 0.9871 | 0.9788 to 0.9934 | 0.9683 | 0.0523 |"),
        ("Evaluation", "| majority class | 0.8764 |  |  |  |"),
        ("Evaluation", "| spam | 0.9421 | 0.9440 | 0.9431 | 120 |"),
        ("Training", "- **Parameters:** 2,893,826 trainable of 25,606,658 (11.3%)"),
        ("Training", "- **Training seed:** 42"),
        ("Speed", "- **Features:** 1,250.5 rows/s"),
        ("Speed", "- **Time:** load 3.2 s, train 2 min 12 s, total 2 h 03 min"),
        ("Limits", "- Only the first 128 tokens of a text were used in training."),
        ("Environment", "torch 2.15.0, device cpu"),
    ):
        assert line in section(card, title).splitlines(), line
    for line in (
        "# BiLSTM head on a frozen encoder",
        "- **Backbone:** `encoder` (local)",
        "- **Head:** LSTMHead, **strategy:** FrozenFeatures",
        "- **Labels (2):** ham, spam",
    ):
        assert line in card.splitlines()


def test_the_sections_come_in_order_with_one_empty_line_between():
    card = model_card(make(), SNIPPET)
    titles = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert titles == [
        "How to load it", "The recipe", "The data", "Evaluation", "Training", "Speed", "Limits", "Environment",
        "Citation",
    ]  # fmt: skip
    assert "\n\n\n" not in card and card.endswith("\n") and not card.endswith("\n\n")
    assert "{{ " not in card and "{%" not in card
    for title in titles:
        assert f"\n\n## {title}\n\n" in card


def test_tables_pictures_and_verdict_stand_apart_from_what_is_around_them():
    pictures = {name: {"file": f"{name}.png", "labels": "names"} for name in ("confusion_matrix", "training_curve")}
    headline = {"name": "accuracy", "value": 0.8, "ci95": [0.7, 0.9]}
    card = model_card(make(pictures=pictures, headline=headline), SNIPPET)
    assert "\n\n\n" not in card
    starts = ("|  |", "**Not better", "| test, by class", "### Confusion matrix", "![Confusion", "![Losses")
    for start in starts:
        assert f"\n\n{start}" in card, start
    for end in ("**", "(confusion_matrix.png)", "(training_curve.png)", "### Confusion matrix"):
        assert f"{end}\n\n" in card, end


def test_a_result_of_an_earlier_version_has_a_card_without_what_it_lacks():
    bare = make()
    for key in ("timing", "environment", "notes", "data", "parameters", "per_class", "baselines"):
        del bare.data[key]
    card = model_card(bare, SNIPPET)
    assert not {"Speed", "Environment"} & set(re.findall(r"^## (.+)$", card, re.MULTILINE))
    assert "png" not in card and "\n\n\n" not in card


def test_pictures_stand_where_they_were_drawn():
    pictures = {
        "confusion_matrix": {"file": "confusion_matrix.png", "labels": "names"},
        "training_curve": {"file": "training_curve.png"},
    }
    card = model_card(make(pictures=pictures), SNIPPET)
    assert re.search(r"^!\[Confusion matrix of .+\]\(confusion_matrix\.png\)$", section(card, "Evaluation"), re.M)
    assert re.search(r"^!\[.+accuracy by epoch\]\(training_curve\.png\)$", section(card, "Training"), re.M)
    assert "in the picture" not in card


def test_a_matrix_with_numbers_comes_with_what_they_mean():
    pictures = {"confusion_matrix": {"file": "confusion_matrix.png", "labels": "numbers"}}
    card = model_card(make(labels=["正面", "负|面"], pictures=pictures), SNIPPET)
    legend = ["| in the picture | class |", "|---|---:|", "| 1 | 正面 |", "| 2 | 负\\|面 |"]
    assert "\n".join(legend) in section(card, "Evaluation")


def test_too_many_classes_for_a_picture_are_said():
    names = [f"class {i}" for i in range(51)]
    said = "No picture: 51 classes are more than the 50 that one can show."
    assert f"{said} results.json has the counts." in model_card(make(labels=names, confusion=[[0]]), SNIPPET)
    assert f"{said}\n" in model_card(make(labels=names, confusion=None), SNIPPET)
    assert "No picture" not in model_card(make(labels=names[:50]), SNIPPET)
    assert "No picture" not in model_card(regression(), SNIPPET)


@pytest.mark.parametrize(
    ("fit", "line"),
    [
        ({"fit": "sgd", "samples_per_s": 10.0}, "- **Fit:** gradient descent"),
        (
            {"fit": "lbfgs", "l2": 0.0316, "grid": [{}, {}, {}]},
            "- **Fit:** L-BFGS on all rows at once, L2 penalty 0.0316, chosen on the validation rows from 3",
        ),
        ({"fit": "lbfgs", "l2": 0.5, "grid": [{}]}, "- **Fit:** L-BFGS on all rows at once, L2 penalty 0.5"),
    ],
)
def test_how_it_was_fitted(fit, line):
    assert line in section(model_card(make(fit=fit), SNIPPET), "Training").splitlines()


def test_the_license_is_said_in_words():
    limits = section(model_card(make(), SNIPPET), "Limits")
    assert "The license of this model is not known" in limits and "the data allow" in limits
    known = make(license="cc-by-4.0", license_from="base model")
    limits = section(model_card(known, SNIPPET), "Limits")
    assert "- License: cc-by-4.0, as the base model's card says. The terms of the data" in limits
    other = make(license="other", license_name="acme-research", license_from="given")
    assert "License: other (acme-research), as whoever trained it says." in model_card(other, SNIPPET)


def test_code_that_comes_with_the_model_is_said():
    plain, custom = model_card(make(), SNIPPET), model_card(make(), SNIPPET[:-1] + ", trust_remote_code=True)")
    assert "transformers alone" in section(plain, "How to load it")
    assert "revision=" in section(custom, "How to load it") and "import hf_transfer.hub" in custom


def test_the_citation_holds_the_facts_of_citation_cff():
    facts = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    found = {"hf_transfer_recipes": facts["version"]}
    citation = section(model_card(make(environment=found, hub_sources={"base_model": "org/enc"}), SNIPPET), "Citation")
    plain = citation.replace("{", "").replace("}", "")
    assert f"title = {facts['title']}: {facts['abstract'].rstrip('.')}," in plain
    assert f"author = {facts['authors'][0]['name']}," in plain
    assert f"version = {facts['version']}," in plain
    assert f"license = {facts['license']}\n" in plain
    assert citation.count("{") == citation.count("}")
    assert "The backbone is `org/enc`" in citation


def test_the_names_of_hub_sources_are_kept():
    recipe = {
        "data": {"kind": "ImageClassification", "train": "uoft-cs/cifar10:plain"},
        "backbone": {"kind": "ImageBackbone", "checkpoint": "timm/resnet18.a1_in1k"},
    }
    found = {"base_model": "timm/resnet18.a1_in1k", "datasets": ["uoft-cs/cifar10"]}
    card = model_card(make(recipe=recipe, checkpoint="timm/resnet18.a1_in1k", hub_sources=found), SNIPPET)
    assert "- **Backbone:** `timm/resnet18.a1_in1k`\n" in card and "- **Data:** `uoft-cs/cifar10:plain`\n" in card
    assert "(local)" not in card and "tokens" not in card
    assert recipe_in(card)["backbone"]["checkpoint"] == "timm/resnet18.a1_in1k"


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
        "train": "./train.csv",
        "test": "./test.csv",
        "validation": "./valid.csv",
        "label_separator": "/",
    }
    assert kept["training"] == {"logging_dir": "./run1", "learning_rate": 0.1, "accelerator_config": ["./a.json"]}
    assert "- ./train.csv and ./test.csv share 3/4 of their rows" in card


def test_what_lies_below_the_home_folder_is_cut_too(monkeypatch):
    monkeypatch.setenv("HOME", "/srv/people/ada")
    card = model_card(make(notes=["read from /srv/people/ada/.cache/x.arrow, twice"]), SNIPPET)
    assert "- read from ./x.arrow, twice" in card.splitlines()


def test_odd_names_break_neither_table_nor_page():
    rows = [{"name": "a|b<script>\nc", "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}]
    card = model_card(make(labels=["a|b<script>\nc"], per_class=rows), SNIPPET)
    assert "| a\\|b&lt;script> c | 1.0000 | 1.0000 | 1.0000 | 1 |" in card.splitlines()
    assert "<script>" not in card
    assert "````python\nsay('```')\n````" in model_card(make(), "say('```')")
    # what looks like the template's own language is text
    assert "# {{ metadata }} {% if x %}" in model_card(make(recipe={"summary": "{{ metadata }} {% if x %}"}), SNIPPET)


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
