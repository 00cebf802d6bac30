"""The kind of a label column is found from the labels, and labels keep their names."""

import datasets
import numpy as np
import pytest

from hf_transfer.data import TextClassification, labels_of, load_data
from hf_transfer.errors import UserError


def texts(n):
    return [f"text {i}" for i in range(n)]


def table(write, cells, name="a.csv"):
    return write(name, "text,label\n" + "".join(f"text {i},{cell}\n" for i, cell in enumerate(cells)))


def typed(cells, feature=None):
    rows = datasets.Dataset.from_dict({"text": texts(len(cells)), "label": cells})
    return rows.cast_column("label", feature) if feature else rows


def test_strings_are_classes_by_code_point(write):
    labels = load_data(TextClassification(table(write, ["b", "a", "C"] * 5))).labels
    assert labels.problem_type == "single_label_classification" and labels.names == ("C", "a", "b")
    assert labels.id2label == {0: "C", 1: "a", 2: "b"} and labels.label2id["b"] == 2 and labels.num_labels == 3


def test_whole_numbers_are_classes_by_value(write):
    assert load_data(TextClassification(table(write, [10, 9, 2, -1] * 5))).labels.names == ("-1", "2", "9", "10")
    assert load_data(TextClassification(typed([10, 9, 2] * 5))).labels.names == ("2", "9", "10")


def test_booleans_are_classes(write):
    assert load_data(TextClassification(table(write, ["True", "False"] * 5))).labels.names == ("False", "True")
    assert load_data(TextClassification(typed([True, False] * 5))).labels.names == ("false", "true")


@pytest.mark.parametrize("source", ["file", "dataset"])
def test_floats_are_regression(write, source):
    values = [0.5, 1.0, 2.25, 1e-3] * 4
    splits = load_data(TextClassification(table(write, values) if source == "file" else typed(values)))
    assert splits.labels.problem_type == "regression" and splits.labels.names == ("label",)
    stored = dict(zip(texts(16), np.float32(values).tolist(), strict=True))
    for split in (splits.train, splits.validation, splits.test):
        assert len(split) and all(stored[row["text"]] == row["label"] for row in split)


def test_class_label_keeps_names_and_order_without_a_limit():
    names = [f"intent {i}" for i in range(150)][::-1]
    splits = load_data(TextClassification(typed([i % 150 for i in range(450)], datasets.ClassLabel(names=names))))
    assert splits.labels.names == tuple(names)
    row = splits.test[0]
    assert int(row["text"].split()[1]) % 150 == row["label"]


def test_more_than_fifty_values_ask_for_the_kind(write):
    path = table(write, list(range(51)) * 3)
    with pytest.raises(UserError, match="51 different whole numbers.*--data.problem_type"):
        load_data(TextClassification(path))
    assert load_data(TextClassification(path, problem_type="regression")).labels.problem_type == "regression"
    assert load_data(TextClassification(path, problem_type="single_label_classification")).labels.num_labels == 51


def multi_hot(splits):
    rows = [row for split in (splits.train, splits.validation, splits.test) for row in split]
    return {row["text"]: row["label"] for row in rows}


def test_separator_is_multi_label(write):
    path = write(
        "a.csv", "text,label\n" + "".join(f"text {i},{c}\n" for i, c in enumerate(["x;y", "y", "", " z ;x"] * 5))
    )
    splits = load_data(TextClassification(path, label_separator=";"))
    assert splits.labels.problem_type == "multi_label_classification" and splits.labels.names == ("x", "y", "z")
    found = multi_hot(splits)
    assert [found[t] for t in texts(4)] == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_several_columns_are_multi_label(write):
    path = write("a.csv", "text,toxic,rude\n" + "".join(f"text {i},{i % 2},{int(i % 3 == 0)}\n" for i in range(12)))
    for label in (("rude", "toxic"), "rude,toxic"):
        splits = load_data(TextClassification(path, label=label))
        assert splits.labels.names == ("rude", "toxic") and splits.columns["label"] == ["rude", "toxic"]
        assert multi_hot(splits)["text 3"] == [1, 1] and multi_hot(splits)["text 4"] == [0, 0]
    bad = write("b.csv", "text,toxic,rude\na,0,1\nb,2,0\nc,1,1\n")
    with pytest.raises(UserError, match=r"row 2 \(line 3\): column 'toxic' is '2', allowed: 0 or 1"):
        load_data(TextClassification(bad, label=("toxic", "rude")))


@pytest.mark.parametrize(
    "cells, names, first",
    [
        ([["b"], ["a", "b"], []] * 4, ("a", "b"), [0, 1]),
        ([[10], [2, 10]] * 4, ("2", "10"), [0, 1]),
        ([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]] * 4, ("0", "1", "2"), [0, 1, 0]),
        ([[0, 1, 0], [1, 0, 1]] * 4, ("0", "1", "2"), [0, 1, 0]),
        ([[0, 1], [1]] * 4, ("0", "1"), [1, 1]),
    ],
)
def test_list_columns_are_multi_label(cells, names, first):
    splits = load_data(TextClassification(typed(cells)))
    assert splits.labels.problem_type == "multi_label_classification" and splits.labels.names == names
    assert multi_hot(splits)["text 0"] == first


def test_list_of_class_labels_keeps_their_names():
    feature = datasets.List(datasets.ClassLabel(names=["z", "a"]))
    assert load_data(TextClassification(typed([[0], [0, 1]] * 4, feature))).labels.names == ("z", "a")


def test_kinds_the_labels_do_not_allow(write):
    path = table(write, ["a", "b"] * 5)
    with pytest.raises(UserError, match="label_separator"):
        load_data(TextClassification(path, problem_type="multi_label_classification"))
    with pytest.raises(UserError, match=r"row 1 \(line 2\): .*'a', regression needs a finite number"):
        load_data(TextClassification(path, problem_type="regression"))
    with pytest.raises(UserError, match="several labels per row"):
        load_data(TextClassification(typed([["a"]] * 5), problem_type="single_label_classification"))


def test_a_checkpoints_order_of_the_same_names_wins(write):
    path = table(write, ["a", "b", "c"] * 5)
    plain, ordered = (
        load_data(TextClassification(path)),
        load_data(TextClassification(path), label_order=["c", "a", "b"]),
    )
    assert ordered.labels.names == ("c", "a", "b")
    by_text = {row["text"]: plain.labels.names[row["label"]] for row in plain.test}
    assert {row["text"]: ordered.labels.names[row["label"]] for row in ordered.test} == by_text
    assert load_data(TextClassification(path), label_order=["c", "a"]).labels.names == ("a", "b", "c")


def test_balanced_weights_are_scikit_learns(write):
    from sklearn.utils.class_weight import compute_class_weight

    splits = load_data(TextClassification(table(write, ["a"] * 30 + ["b"] * 10), class_weights="balanced"))
    ids = np.array(splits.train["label"])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=ids)
    assert splits.labels.class_weights == pytest.approx(expected.tolist()) and expected[1] > expected[0]
    with pytest.raises(UserError, match="class_weights"):
        load_data(TextClassification(table(write, [0.5, 1.5] * 5), class_weights="balanced"))


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_split_without_labels_is_noted_and_not_used(write, hidden):
    train, test = table(write, ["a", "b"] * 10), write("t.csv", f"text,label\nnew 1,{hidden}\nnew 2,{hidden}\n")
    splits = load_data(TextClassification(train, test=test))
    assert any("t.csv" in note and "not used" in note for note in splits.notes)
    assert len(splits.test) == 4 and not {"new 1", "new 2"} & set(splits.test["text"])
    with pytest.raises(UserError, match="no labels"):
        load_data(TextClassification(test))


def test_minus_one_among_others_is_a_class_but_a_missing_class_label(write):
    assert "-1" in load_data(TextClassification(table(write, [-1, 0, 1] * 5))).labels.names
    rows = typed([0, 1, -1, 0, 1] * 3, datasets.ClassLabel(names=["a", "b"]))
    with pytest.raises(UserError, match="no label in row 3, row 8, row 13"):
        load_data(TextClassification(rows))


def test_some_missing_labels_are_named_by_row_and_line(write):
    with pytest.raises(UserError, match=r"no label in row 2 \(line 3\) \(1 of 7 rows\)"):
        load_data(TextClassification(table(write, ["a", "", "b", "a", "b", "a", "b"])))


def test_numbers_that_are_missing(write):
    with pytest.raises(UserError, match="no label in row 2"):
        load_data(TextClassification(typed([0.5, float("nan"), 1.5, 2.5])))


def test_a_single_class_is_refused(write):
    with pytest.raises(UserError, match="single class, 'a'"):
        load_data(TextClassification(table(write, ["a"] * 9)))


@pytest.mark.parametrize("cells", [[1, 0, 2], [0.5, 1.5, 2.5], [[0, 1], [1, 1], [0, 0]]])
def test_labels_are_read_in_one_piece(cells, monkeypatch):
    rows, read = typed(cells), datasets.arrow_dataset.Column.__getitem__

    def whole(column, key):
        assert isinstance(key, slice), "row after row"
        return read(column, key)

    monkeypatch.setattr(datasets.arrow_dataset.Column, "__getitem__", whole)
    monkeypatch.setattr(datasets.arrow_dataset.Column, "__iter__", lambda _: pytest.fail("row after row"))
    assert np.array_equal(labels_of(rows.with_format("torch")), np.asarray(cells))
