"""Rows for a trained model: every row answered, labels matched by name."""

import datasets
import pandas as pd
import pytest

from hf_transfer.data import ImageClassification, Labels, TextClassification, load_data, load_labelled, read_inputs
from hf_transfer.errors import UserError

CLASSES = Labels("single_label_classification", ("good", "bad"))


def test_inputs_keep_all_columns_and_all_rows(write):
    path = write("a.csv", "id,body\n007,null\n008,null\n")
    frame, rows = read_inputs(path, kind="text", columns={"text": "body", "label": "stars"})
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"id": ["007", "008"], "body": ["null", "null"]}))
    assert rows.column_names == ["text"] and rows["text"][:] == ["null", "null"]


def test_inputs_without_header_and_with_a_pair(write):
    path = write("a.txt.tsv", "x\ty\nz\tw\n")
    frame, rows = read_inputs(path, kind="text", columns={"text": "1", "text_pair": "0"}, header=False)
    assert list(frame.columns) == ["0", "1"] and rows[1] == {"text": "w", "text_pair": "z"}


def test_inputs_that_cannot_be_answered(write, tmp_path):
    with pytest.raises(UserError, match="no column 'body'.*columns: words, n"):
        read_inputs(write("a.csv", "words,n\na,1\n"), kind="text", columns={"text": "body"})
    with pytest.raises(UserError, match=r"empty in row 2 \(line 3\)") as caught:
        read_inputs(write("b.csv", "body,n\na,1\n,2\n"), kind="text", columns={"text": "body"})
    assert "drop_empty" not in str(caught.value)
    with pytest.raises(UserError, match="no such file"):
        read_inputs(tmp_path / "c.csv", kind="text", columns={})
    with pytest.raises(UserError, match="is a folder"):
        read_inputs(tmp_path, kind="text", columns={})


def test_image_inputs_are_a_folder_of_any_depth_one_image_or_a_table(photos, write):
    root = photos("p", {"b/deep": 2, "a": 1})
    frame, rows = read_inputs(root, kind="image", columns={"image": "img"})
    assert frame["file"].tolist() == ["a/0.jpg", "b/deep/0.jpg", "b/deep/1.jpg"] and len(rows) == 3
    assert rows[2]["image"].size == (48, 32)
    frame, rows = read_inputs(root / "a" / "0.jpg", kind="image", columns={})
    assert frame["file"].tolist() == ["0.jpg"] and len(rows) == 1
    frame, rows = read_inputs(write("a.csv", "img\np/a/0.jpg\n"), kind="image", columns={"image": "img"})
    assert frame["img"].tolist() == ["p/a/0.jpg"] and rows[0]["image"].size == (48, 32)
    (root / "a" / "notes.txt").write_text("x")
    with pytest.raises(UserError, match="a/notes.txt is not an image$"):
        read_inputs(root, kind="image", columns={})


def test_labelled_rows_follow_the_models_ids(write):
    spec = TextClassification("train.csv")
    path = write("a.csv", "body,stars\na,bad\nb,good\n")
    rows = load_labelled(spec, path, CLASSES, {"text": "body", "label": "stars"})
    assert rows[:] == {"text": ["a", "b"], "label": [1, 0]} and rows.features["label"].names == ["good", "bad"]
    named = datasets.ClassLabel(names=["bad", "good"])
    other = datasets.Dataset.from_dict({"body": ["a", "b"], "stars": [0, 1]}).cast_column("stars", named)
    assert load_labelled(spec, other, CLASSES, {"text": "body", "label": "stars"})["label"][:] == [1, 0]
    assert load_labelled(spec, write("b.csv", "text,label\na,bad\n"), CLASSES, {})["label"][:] == [1]


def test_labelled_rows_may_be_one_class_only_but_a_known_one(write):
    spec, columns = TextClassification("train.csv"), {"text": "text", "label": "label"}
    with pytest.raises(UserError, match=r"row 1 \(line 2\): label 'fine' is not among .*: good, bad"):
        load_labelled(spec, write("a.csv", "text,label\na,fine\n"), CLASSES, columns)
    with pytest.raises(UserError, match="no labels"):
        load_labelled(spec, write("b.csv", "text,label\na,\n"), CLASSES, columns)
    assert len(load_labelled(spec, write("c.csv", "text,label\na,bad\n"), CLASSES, columns)) == 1


def test_labelled_rows_of_the_other_kinds(write):
    several = Labels("multi_label_classification", ("x", "y"))
    path = write("a.csv", "text,label\na,y;x\nb,\nc,y\n")
    rows = load_labelled(TextClassification("t.csv", label_separator=";"), path, several, {})
    assert rows["label"][:] == [[1, 1], [0, 0], [0, 1]]
    number = Labels("regression", ("score",))
    rows = load_labelled(
        TextClassification("t.csv"), write("b.csv", "text,score\na,3\nb,4.5\n"), number, {"label": "score"}
    )
    assert rows["label"][:] == [3.0, 4.5]


def test_labelled_images(photos, write):
    root = photos("p", {"cat": 4, "dog": 4})
    splits = load_data(ImageClassification(str(root)))
    more = photos("more", {"dog": 2})
    rows = load_labelled(ImageClassification(str(root)), str(more), splits.labels, {"image": "img", "label": "kind"})
    assert rows["label"][:] == [1, 1] and rows[0]["image"].size == (48, 32)
