"""The specs check their fields when they are made, and cost nothing to import."""

import subprocess
import sys
from dataclasses import fields

import datasets
import pytest

from hf_transfer.data import ImageClassification, TextClassification
from hf_transfer.errors import UserError


@pytest.mark.parametrize(
    "field, value, allowed",
    [
        ("validation", 2.0, "above 0 and below 1"),
        ("test", 0.0, "above 0 and below 1"),
        ("test", True, "above 0 and below 1"),
        ("label", (), "column name"),
        ("label", ("a", "a"), "different"),
        ("text", "", "column name"),
        ("problem_type", "classification", "multi_label_classification"),
        ("class_weights", "inverse", "balanced"),
        ("split_seed", 1.5, "integer"),
        ("sep", ",,", "one character"),
        ("encoding", "utf-9", "Python encoding"),
        ("header", "no", "true or false"),
        ("drop_empty", 1, "true or false"),
        ("train_split", "", "split name"),
    ],
)
def test_wrong_value_names_field_value_and_allowed(field, value, allowed):
    with pytest.raises(UserError) as caught:
        TextClassification("a.csv", **{field: value})
    message = str(caught.value)
    assert f"data.{field}" in message and repr(value) in message and allowed in message and "\n" not in message


@pytest.mark.parametrize("train", [3, None, "", " ", datasets.DatasetDict()])
def test_train_must_name_rows(train):
    with pytest.raises(UserError, match="data.train"):
        ImageClassification(train)


@pytest.mark.parametrize(
    "kwargs, match",
    [
        ({"validation": "a.csv"}, "same rows"),
        ({"validation": "b.csv", "test": "b.csv"}, "same rows"),
        ({"validation": 0.5, "test": 0.5}, "less than 0.5"),
        ({"text": "t", "text_pair": "t"}, "another column"),
        ({"label": ("x", "y"), "problem_type": "regression"}, "several labels"),
        ({"label": ("x", "y"), "label_separator": ";"}, "label_separator"),
        ({"problem_type": "regression", "class_weights": "balanced"}, "class_weights"),
    ],
)
def test_fields_that_contradict_each_other(kwargs, match):
    with pytest.raises(UserError, match=match):
        TextClassification("a.csv", **kwargs)


def test_values_are_brought_into_one_form():
    assert TextClassification("a.csv", label=["x", "y"]) == TextClassification("a.csv", label=("x", "y"))
    assert TextClassification("a.csv", label=("x",)).label == "x"
    assert TextClassification("a.csv", sep="\\t").sep == "\t"


def test_a_dataset_is_a_source():
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [0]})
    assert TextClassification(rows, test=rows).train is rows


@pytest.mark.parametrize("kind", [TextClassification, ImageClassification])
def test_every_field_has_a_line_of_help(kind):
    documented = [line.strip().split(" (`")[0] for line in kind.__doc__.splitlines() if "`): " in line]
    assert documented == [f.name for f in fields(kind)]


def test_importing_the_specs_imports_nothing_heavy():
    code = (
        "import sys, hf_transfer.data; hf_transfer.data.TextClassification('a.csv');"
        "heavy = ('torch', 'transformers', 'datasets', 'pandas', 'numpy', 'pyarrow', 'PIL');"
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
