"""`data.train_per_class`: a few rows of each class, the same ones wherever the file lies and however it is sorted."""

from collections import Counter

import pytest

from hf_transfer.data import ImageClassification, TextClassification, load_data
from hf_transfer.data.splits import few_of_each
from hf_transfer.errors import UserError


def test_a_smaller_draw_is_part_of_a_larger_one_and_the_seed_decides():
    keys, classes = [b"%d" % i for i in range(60)], [i % 3 for i in range(60)]
    draws = {count: few_of_each(keys, classes, count, 0) for count in (2, 8, 100)}
    assert Counter(classes[i] for i in draws[8]) == {0: 8, 1: 8, 2: 8}
    assert set(draws[2]) < set(draws[8]) < set(draws[100]) == set(range(60))
    assert set(draws[8]) != set(few_of_each(keys, classes, 8, 1))
    mirrored = few_of_each(keys[::-1], classes[::-1], 8, 0)
    assert {keys[::-1][i] for i in mirrored} == {keys[i] for i in draws[8]}


def test_rows_that_repeat_come_last():
    keys = [b"same"] * 20 + [b"%d" % i for i in range(4)]
    drawn = few_of_each(keys, [0] * 24, 5, 0)
    assert {keys[i] for i in drawn} == {b"same", b"0", b"1", b"2", b"3"}


def test_validation_and_test_keep_all_their_rows(reviews):
    path = reviews("a.csv", 100)
    whole, few = (load_data(TextClassification(path, train_per_class=count)) for count in (None, 8))
    assert Counter(few.train["label"]) == {0: 8, 1: 8} and set(few.train["text"]) < set(whole.train["text"])
    for split in ("validation", "test"):
        assert getattr(few, split)["text"] == getattr(whole, split)["text"]
    assert few.fingerprint != whole.fingerprint
    assert any("train: 16 of 70 rows, 8 of each class (seed 0)" in note for note in few.notes), few.notes


def test_rows_that_leak_are_never_drawn(reviews, write):
    test = reviews("test.csv", 40)
    train = reviews("train.csv", 60, start=20)
    splits = load_data(TextClassification(train, test=test, train_per_class=19))
    assert not set(splits.train["text"]) & {*splits.test["text"], *splits.validation["text"]}
    assert splits.dropped["leaked"] > 0 and max(Counter(splits.train["label"]).values()) <= 19


def test_a_class_with_fewer_rows_gives_what_it_has(write):
    lines = [f"text {i},{'rare' if i < 6 else 'common'}" for i in range(60)]
    splits = load_data(TextClassification(write("a.csv", "\n".join(["text,label", *lines])), train_per_class=8))
    assert any("rare has 4" in note for note in splits.notes)
    assert Counter(splits.train["label"]) == {splits.labels.names.index("common"): 8, 1: 4}


def test_images_too(photos):
    folder = str(photos("p", {"cat": 20, "dog": 20}))
    splits = load_data(ImageClassification(folder, train_per_class=3), progress=False)
    assert Counter(splits.train["label"]) == {0: 3, 1: 3}


@pytest.mark.parametrize("count", [0, -1, 2.0, True])
def test_a_wrong_number(count):
    with pytest.raises(UserError, match="data.train_per_class.*1 or more, or none"):
        TextClassification("a.csv", train_per_class=count)


def test_numbers_have_no_classes(reviews):
    with pytest.raises(UserError, match="data.train_per_class.*single_label"):
        TextClassification("a.csv", train_per_class=8, problem_type="regression")
    path = reviews("a.csv", 40, labels=tuple(f"0.{i}" for i in range(1, 31)))
    with pytest.raises(UserError, match="data.train_per_class is 8, allowed for regression: none"):
        load_data(TextClassification(path, train_per_class=8))
