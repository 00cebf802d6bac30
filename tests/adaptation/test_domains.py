"""Rows of two domains: which labels are read, which rows are measured on, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from mini import make_texts, write_csv, write_images

from hf_transfer import KMM, ImageClassification, SourceTarget, TextClassification, TrAdaBoost, UserError
from hf_transfer.data import load_domains


@pytest.fixture
def spec(places):
    def make(target="target", test="test", **changes) -> SourceTarget:
        test = str(places[test]) if test in places else test
        data = dict(source=TextClassification(str(places["source"])), target=TextClassification(str(places[target])))
        return SourceTarget(**{**data, "test": test, **changes})

    return make


def test_target_labels_are_not_read_unless_asked_for(spec):
    found = load_domains(spec(), progress=False)
    assert set(found.target["label"]) == {-100} and len(found.labelled) == 0
    assert found.held_out is None and found.target_columns == {"text": "text"}
    assert found.tests_target and len(found.test) == 40
    assert set(found.target["text"]).isdisjoint(found.test["text"])


def test_a_target_without_a_label_column_is_enough(spec):
    found = load_domains(spec("unlabelled", test=None), progress=False)
    assert len(found.target) == 60 and not found.tests_target
    assert found.test["text"][:] == found.source_test["text"][:]
    assert any("no labelled test rows" in note for note in found.notes)


def test_labels_of_some_rows_are_read(spec, places):
    found = load_domains(spec("partly", target_labels=True), progress=False)
    known = found.labelled
    truth = dict(csv_rows(places["target"]))
    names = found.labels.names
    assert len(known) + len(found.held_out) == 20 and len(found.target) == 60 - len(found.held_out)
    for row in known:
        assert names[found.target[int(row)]["label"]] == truth[found.target[int(row)]["text"]]
    held_out = set(found.held_out["text"])
    assert held_out.isdisjoint(found.target["text"]) and set(found.held_out["label"]) == {0, 1}


def test_so_many_labels_of_each_class(spec, places):
    few = TextClassification(str(places["target"]), train_per_class=5)
    found = load_domains(spec(target_labels=True, selection="source"), progress=False)
    assert len(found.labelled) == 60
    found = load_domains(replace(spec(target_labels=True, selection="source"), target=few), progress=False)
    assert len(found.target) == 60 and np.bincount(np.asarray(found.target["label"])[found.labelled]).tolist() == [
        5,
        5,
    ]


def test_one_label_per_class_leaves_none_to_choose_by(spec, places):
    one = TextClassification(str(places["target"]), train_per_class=1)
    found = load_domains(replace(spec(target_labels=True), target=one), progress=False)
    assert found.held_out is None and any("too few labels to hold any out" in note for note in found.notes)
    with pytest.raises(UserError, match="needs at least 2"):
        load_domains(replace(spec(target_labels=True, selection="target"), target=one), progress=False)


def test_a_fraction_is_cut_to_measure_on_and_left_out_of_both_domains(spec, places, tmp_path):
    shared = write_csv(
        tmp_path / "both.csv", ["text", "label"], [*csv_rows(places["source"]), *csv_rows(places["target"])]
    )
    found = load_domains(spec(test=0.25, source=TextClassification(str(shared))), progress=False)
    assert len(found.test) == 15 and len(found.target) == 45
    measured = set(found.test["text"])
    for rows in (found.target, found.train, found.validation):
        assert measured.isdisjoint(rows["text"])
    assert set(found.target["label"]) == {-100}
    again = load_domains(spec(test=0.25, source=TextClassification(str(shared))), progress=False)
    assert again.test["text"][:] == found.test["text"][:] and again.fingerprint == found.fingerprint


def test_rows_that_are_measured_on_leave_the_target(spec, places, tmp_path):
    rows = csv_rows(places["target"])
    test = write_csv(tmp_path / "test.csv", ["text", "label"], rows[:10])
    found = load_domains(spec(test=str(test)), progress=False)
    assert len(found.target) == 50 and found.dropped["leaked_target"] == 10


def test_a_folder_of_pictures_without_classes_is_a_target(tmp_path):
    photos = write_images(tmp_path / "photos")
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, image in enumerate(sorted(write_images(tmp_path / "more", count=6).glob("*/*.png"))):
        image.rename(loose / f"{number}.png")
    spec = SourceTarget(ImageClassification(str(photos)), ImageClassification(str(loose)))
    found = load_domains(spec, progress=False)
    assert set(found.target["label"]) == {-100} and len(found.target) > 0
    with pytest.raises(UserError, match="holds no class folders"):
        load_domains(replace(spec, target_labels=True), progress=False)


def test_class_folders_of_the_target_are_not_read_unless_asked_for(tmp_path):
    """Pictures in other folders, of names that the source has not, are the same target in the same order."""
    photos, target = write_images(tmp_path / "photos"), write_images(tmp_path / "target", count=12)
    spec = SourceTarget(ImageClassification(str(photos)), ImageClassification(str(target)))
    before = load_domains(spec, progress=False)
    for number, image in enumerate(sorted(target.glob("*/*.png"))):
        folder = tmp_path / "turned" / ("zebra" if number % 3 else "lion")
        folder.mkdir(parents=True, exist_ok=True)
        image.rename(folder / f"{100 - number}.png")
    turned = replace(spec, target=ImageClassification(str(tmp_path / "turned")))
    after = load_domains(turned, progress=False)
    assert set(after.target["label"]) == {-100} and len(after.target) == len(before.target) > 10
    assert after.contents["target"] == before.contents["target"]
    with pytest.raises(UserError, match="'(lion|zebra)' is not among"):
        load_domains(replace(turned, target_labels=True), progress=False)


def test_a_label_that_the_source_has_not_is_told_with_its_row(spec, tmp_path):
    odd = write_csv(tmp_path / "odd.csv", ["text", "label"], [*make_texts(20, seed=9), ("a very odd film", "odd")])
    with pytest.raises(UserError, match="row 21.*'odd' is not among"):
        load_domains(spec(test=str(odd)), progress=False)


REFUSED = {
    "mixed": (dict(source=ImageClassification("photos")), "give texts alone or images alone"),
    "no data": (dict(source="a.csv"), "data.source is 'a.csv'; allowed: TextClassification"),
    "test": (dict(test=1.5), "data.test is 1.5"),
    "own test": (dict(target=TextClassification("b.csv", test=0.1)), "target rows to measure on are data.test"),
    "align": (dict(align="whiten"), "data.align is 'whiten'; allowed: none, scale, coral"),
    "selection": (dict(selection="target"), "chooses by labelled target rows; set data.target_labels"),
    "weight": (dict(target_weight=0), "data.target_weight is 0"),
    "weights": (dict(weights="kmm"), "allowed: KMM"),
    "tradaboost": (dict(weights=TrAdaBoost()), "needs labelled target rows; set data.target_labels"),
    "few": (dict(target=TextClassification("b.csv", train_per_class=5)), "no target label is read"),
    "kind": (dict(source=TextClassification("a.csv", problem_type="regression")), "one class per row"),
    "flag": (dict(target_labels="yes"), "data.target_labels is 'yes'; allowed: true or false"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused(case):
    changes, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        SourceTarget(**{"source": TextClassification("a.csv"), "target": TextClassification("b.csv"), **changes})


def test_a_regression_is_refused_when_it_is_read(spec, tmp_path):
    numbers = write_csv(
        tmp_path / "n.csv", ["text", "label"], [(text, i / 7) for i, (text, _) in enumerate(make_texts(40))]
    )
    with pytest.raises(UserError, match="data.source is a regression"):
        load_domains(spec(test=None, source=TextClassification(str(numbers))), progress=False)


def test_weights_are_a_value_in_the_data(spec):
    assert spec(weights=KMM(bound=5)) == spec(weights=KMM(bound=5.0))


def csv_rows(path) -> list[tuple[str, str]]:
    import csv

    with path.open(newline="") as file:
        return [tuple(row) for row in list(csv.reader(file))[1:]]
