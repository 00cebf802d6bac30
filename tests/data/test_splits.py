"""Splits are a function of content and split seed alone, stratified, and share no content."""

import random
from collections import Counter

import pytest

from hf_transfer.data.splits import cut, same_content, without
from hf_transfer.errors import UserError

BOTH = {"test": 0.2, "validation": 0.1}


def keys(n):
    return [b"key %d" % i for i in range(n)]


def test_every_row_is_in_exactly_one_split():
    parts = cut(keys(101), None, BOTH, 0, "a.csv")
    assert sorted(i for rows in parts.values() for i in rows) == list(range(101))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 71, "validation": 10, "test": 20}


def test_every_class_is_cut_alike():
    classes = ["rare"] * 10 + ["common"] * 90
    parts = cut(keys(100), classes, BOTH, 0, "a.csv")
    found = {name: Counter(classes[i] for i in rows) for name, rows in parts.items()}
    assert found == {
        "test": {"rare": 2, "common": 18},
        "validation": {"rare": 1, "common": 9},
        "train": {"rare": 7, "common": 63},
    }


def test_order_of_the_rows_does_not_matter_and_the_seed_does():
    content = [*keys(60), *keys(60)[:20]]
    classes = [str(int(key.split()[1]) % 3) for key in content]
    parts = cut(content, classes, BOTH, 7, "a.csv")
    order = list(range(80))
    random.Random(1).shuffle(order)
    shuffled = cut([content[i] for i in order], [classes[i] for i in order], BOTH, 7, "a.csv")
    for name in parts:
        assert Counter(content[i] for i in parts[name]) == Counter(content[order[i]] for i in shuffled[name])
    assert set(parts["test"]) != set(cut(content, classes, BOTH, 8, "a.csv")["test"])


def test_the_cut_never_changes():
    """The same rows on every machine, and in the next version: results of different days stay comparable."""
    parts = cut(keys(12), None, BOTH, 0, "a.csv")
    assert {name: rows.tolist() for name, rows in parts.items()} == {
        "train": [0, 1, 2, 3, 4, 5, 6, 8, 9],
        "validation": [10],
        "test": [7, 11],
    }


def test_equal_rows_are_spread_over_the_splits():
    parts = cut([b"same"] * 100, None, BOTH, 0, "a.csv")
    assert len(parts["test"]) == 20 and parts["test"].tolist() != list(range(20))


@pytest.mark.parametrize("fractions", [BOTH, {"test": 0.9, "validation": 0.09}, {"test": 0.01, "validation": 0.01}])
def test_the_smallest_class_has_one_row_in_each(fractions):
    parts = cut(keys(3), ["a"] * 3, fractions, 0, "a.csv")
    assert sorted(len(rows) for rows in parts.values()) == [1, 1, 1]


def test_too_few_rows_of_a_class():
    with pytest.raises(UserError) as caught:
        cut(keys(7), ["b"] * 5 + ["a"] * 2, BOTH, 0, "a.csv")
    assert (
        str(caught.value) == "a.csv: class 'a' has 2 rows and needs at least 3: one each for train, test, validation"
    )
    cut(keys(7), ["b"] * 5 + ["a"] * 2, {"test": 0.2}, 0, "a.csv")


def test_without_and_same_content():
    assert without([0, 1, 2], [b"a", b"b", b"a"], {b"a"}).tolist() == [1]
    assert same_content([b"a", b"b"], [b"b", b"a"]) and not same_content([b"a", b"a", b"b"], [b"a", b"b", b"b"])
