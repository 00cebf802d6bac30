"""results.json is written whole and read back; the table says what was measured and no more."""

import copy
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from hf_transfer import results
from hf_transfer.errors import UserError
from hf_transfer.results import RunResult, hub_sources

RECIPE = {
    "summary": "BiLSTM head on a frozen encoder",
    "data": {"kind": "TextClassification", "train": "/somewhere/private/reviews.csv", "label_separator": "/"},
    "backbone": {"kind": "TextBackbone", "checkpoint": "/somewhere/private/encoder", "max_length": 128},
    "head": {"kind": "LSTMHead", "hidden_size": 64},
    "strategy": {"kind": "FrozenFeatures"},
    "objective": {"kind": "Supervised"},
    "metrics": None,
    "training": {"learning_rate": 1e-3},
}
DATA = {
    "checkpoint": "/somewhere/private/encoder",
    "seed": 42,
    "split_seed": 7,
    "problem_type": "single_label_classification",
    "labels": ["ham", "spam"],
    "headline": {"name": "accuracy", "value": 0.98713, "ci95": [0.9788, 0.9934]},
    "validation_ci95": [0.9712, 0.9931],
    "metrics": {
        "validation": {"accuracy": 0.98641, "macro_f1": 0.97024, "loss": 0.0461},
        "test": {"accuracy": 0.98713, "macro_f1": 0.96833, "loss": 0.0523},
    },
    "baselines": {"majority_class": 0.8764},
    "per_class": [
        {"name": "ham", "precision": 0.9926, "recall": 0.9915, "f1": 0.9921, "support": 1852},
        {"name": "spam", "precision": 0.9421, "recall": 0.9440, "f1": 0.9431, "support": 120},
    ],
    "data": {"train": 3129, "validation": 433, "test": 1972, "dropped": {"empty": 0, "leaked": 328}},
    "notes": ["the labels of /somewhere/private/reviews.csv are strings: classes"],
    "timing": {"load_s": 3.25, "train_s": 131.7, "total_s": 7384.0},
    "parameters": {"trainable": 2893826, "total": 25606658},
    "environment": {"torch": "2.15.0", "device": "cpu"},
}


def make(output_dir=".", recipe=None, name="text/lstm_frozen", **changes) -> RunResult:
    data = {**copy.deepcopy(DATA), **changes}
    return RunResult(output_dir, name, {**copy.deepcopy(RECIPE), **(recipe or {})}, data)


def regression(value=1.1, **changes) -> RunResult:
    return make(
        problem_type="regression",
        labels=["stars"],
        headline={"name": "mse", "value": value, "ci95": [0.9, 1.2]},
        metrics={"test": {"mse": value, "mae": 0.8, "pearson": 0.5, "loss": value}},
        baselines={"majority_class": 2.0},
        per_class=[],
        **changes,
    )


def test_save_and_load(tmp_path):
    result = make(tmp_path)
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    result.save()
    again = RunResult.load(str(tmp_path))
    assert again.data == {**DATA, "recipe": "text/lstm_frozen"}
    assert (again.recipe_name, again.recipe, again.output_dir) == ("text/lstm_frozen", RECIPE, tmp_path)
    assert again.metrics["test"]["accuracy"] == 0.98713 and again.headline["name"] == "accuracy"
    assert again.table() == result.table()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.json", "results.json"]


def test_a_result_is_not_lost_to_what_json_cannot_hold(tmp_path):
    values = {
        "a": np.float32(0.5),
        "b": np.nan,
        "c": np.arange(2),
        "d": Path("x"),
        "e": (np.bool_(True), float("inf")),
    }
    make(tmp_path, extra=values).save()
    text = (tmp_path / "results.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text)["extra"] == {"a": 0.5, "b": None, "c": [0, 1], "d": "x", "e": [True, None]}


def test_lists_of_numbers_stand_in_one_line_and_text_stays_as_it_is(tmp_path):
    odd = ["[\n  1,\n  2\n]", '[ "1" ]', "a, b"]
    lists = {"odd": odd, "empty": [], "flat": [1.5, None, True], "mixed": [1, {"a": [2]}]}
    make(tmp_path, confusion=[[10, 0], [3, 4]], **lists).save()
    text = (tmp_path / "results.json").read_text()
    assert '"confusion": [\n    [10, 0],\n    [3, 4]\n  ]' in text
    assert '"flat": [1.5, null, true]' in text and '"ci95": [0.9788, 0.9934]' in text
    found = json.loads(text)
    assert (found["confusion"], found["odd"], found["empty"]) == ([[10, 0], [3, 4]], odd, [])
    assert (found["flat"], found["mixed"]) == ([1.5, None, True], [1, {"a": [2]}])


def test_a_failed_write_keeps_the_old_result_and_leaves_nothing(tmp_path, monkeypatch):
    make(tmp_path, seed=1).save()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(results.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        make(tmp_path, seed=2).save()
    assert json.loads((tmp_path / "results.json").read_text())["seed"] == 1
    assert os.listdir(tmp_path) == ["results.json"]


def test_a_new_result_replaces_the_file_and_never_writes_into_it(tmp_path):
    make(tmp_path, seed=1).save()
    os.link(tmp_path / "results.json", tmp_path / "as_a_reader_has_it_open")
    make(tmp_path, seed=2).save()
    assert json.loads((tmp_path / "as_a_reader_has_it_open").read_text())["seed"] == 1
    assert json.loads((tmp_path / "results.json").read_text())["seed"] == 2


def test_loading_something_else_names_the_file(tmp_path):
    with pytest.raises(UserError, match="results.json is missing.*not the output folder"):
        RunResult.load(tmp_path)
    (tmp_path / "results.json").write_text('{"half": ')
    with pytest.raises(UserError, match="results.json cannot be read"):
        RunResult.load(tmp_path)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(UserError, match="results.json does not hold"):
        RunResult.load(tmp_path)


def test_the_table_of_classes():
    assert make().table().splitlines() == [
        "text/lstm_frozen on encoder (seed 42)",
        "",
        "                accuracy      95% interval  macro-F1    loss",
        "------------------------------------------------------------",
        "validation        0.9864  0.9712 to 0.9931    0.9702  0.0461",
        "test              0.9871  0.9788 to 0.9934    0.9683  0.0523",
        "majority class    0.8764",
        "",
        "test, by class  precision  recall      F1   rows",
        "------------------------------------------------",
        "ham                0.9926  0.9915  0.9921  1,852",
        "spam               0.9421  0.9440  0.9431    120",
        "",
        "rows            train 3,129, validation 433, test 1,972",
        "dropped         328 train rows that repeat in validation or test",
        "parameters      2,893,826 trainable of 25,606,658 (11.3%)",
        "time            load 3.2 s, train 2 min 12 s, total 2 h 03 min",
    ]


def test_the_table_of_numbers():
    lines = regression().table().splitlines()
    assert lines[2:6] == [
        "               MSE      95% interval     MAE  Pearson",
        "-----------------------------------------------------",
        "test        1.1000  0.9000 to 1.2000  0.8000   0.5000",
        "train mean  2.0000",
    ]
    assert not any("by class" in line for line in lines)


def test_the_table_of_several_labels():
    scores = {"micro_f1": 0.7, "macro_f1": 0.6, "accuracy": 0.5}
    table = make(
        problem_type="multi_label_classification",
        headline={"name": "micro_f1", "value": 0.7, "ci95": [0.65, 0.75]},
        metrics={"test": scores},
        baselines={"majority_class": 0.0},
    ).table()
    assert "micro-F1      95% interval  macro-F1  exact match" in table
    assert "\nmajority labels    0.0000\n" in table


def test_the_recipes_own_metrics_are_shown():
    scores = {"accuracy": 0.9, "roc_auc": 0.95, "ece": 0.01, "loss": 0.2, "macro_f1": 0.8}
    shown = make(recipe={"metrics": ["accuracy", "roc_auc", "ece", "pearson"]}, metrics={"test": scores})
    assert shown.metric_columns() == ["roc_auc", "ece"]


def test_dropped_rows():
    dropped = {"empty": 2, "leaked": 0, "leaked_validation": 3, "broken": 1}
    table = make(data={"train": 5, "dropped": dropped}).table()
    assert "2 rows without text, 3 validation rows that repeat in test, 1 damaged" in table
    assert "\ndropped         none\n" in make(data={"dropped": {"empty": 0}}).table()


@pytest.mark.parametrize(
    "value, ci95, beaten, words",
    [
        (0.99, [0.98, 1.0], True, None),
        (0.89, [0.87, 0.91], True, "Uncertain: the 95% interval of test accuracy includes the baseline 0.8764"),
        (0.8764, [0.87, 0.91], False, "Not better than the baseline: test accuracy 0.8764 is not above 0.8764"),
        (0.5, [0.4, 0.6], False, "Not better than the baseline: test accuracy 0.5000 is not above 0.8764"),
    ],
)
def test_the_verdict(value, ci95, beaten, words):
    result = make(headline={"name": "accuracy", "value": value, "ci95": ci95})
    assert result.beats_baseline() is beaten
    last = result.table().splitlines()[-1]
    assert last.startswith(words) if words else last.startswith("time")


def test_the_verdict_on_an_error_is_the_other_way_round():
    assert regression(1.1).beats_baseline() is True and regression(1.1).verdict() is None
    assert "test MSE 2.5000 is not below 2.0000 (train mean)" in regression(2.5).verdict()


def test_without_a_baseline_there_is_no_verdict():
    result = make(baselines={})
    assert result.beats_baseline() is None and "baseline" not in result.table() and "majority" not in result.table()


def screen_width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def test_odd_class_names_keep_the_columns():
    names = ["正面评价", "a\nb\tc", "Ünïcode", "x" * 200, "|"]
    rows = [{"name": name, "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3} for name in names]
    table = make(per_class=rows).table()
    body = [line for line in table.splitlines() if line.endswith("0.5000  0.5000     3")]
    assert len(body) == len(names) and len({screen_width(line) for line in body}) == 1
    assert any(line.startswith("a b c ") for line in body)
    assert any("xxx... " in line for line in body)
    assert max(map(screen_width, table.splitlines())) <= 100


def test_of_many_classes_the_weakest_are_listed():
    rows = [{"name": f"c{i}", "precision": 0.5, "recall": 0.5, "f1": i / 100, "support": 3} for i in range(99, -1, -1)]
    result = make(per_class=rows)
    titles, *listed = result.class_rows()[0]
    assert [row[0] for row in listed] == [f"c{i}" for i in range(20)]
    assert "the 20 classes with the lowest F1 of 100; results.json has all" in result.table()
    assert result.data["per_class"] == rows


def test_the_table_is_narrow_with_everything_at_its_widest():
    timing = {f"{name}_s": 599.0 for name in ("load", "features", "train", "save", "evaluate", "total")}
    names = ["balanced_accuracy", "matthews_correlation", "weighted_precision", "weighted_recall", "macro_f1", "ece"]
    scores = {"validation": dict.fromkeys(["accuracy", *names], 0.5), "test": dict.fromkeys(["accuracy", *names], 0.5)}
    dropped = dict.fromkeys(("empty", "leaked", "leaked_validation", "broken"), 123456)
    table = make(
        recipe={"metrics": names}, metrics=scores, timing=timing, data={"train": 10**9, "dropped": dropped}
    ).table()
    assert max(map(len, table.splitlines())) <= 100
    assert "123,456 damaged" in " ".join(table.split())


def test_numbers_and_times():
    shown = [results.number(value) for value in (0.5, 0, 1e-5, 12345.678, -0.25, None, float("nan"))]
    assert shown == ["0.5000", "0.0000", "1e-05", "1.235e+04", "-0.2500", "-", "-"]
    assert [results.duration(s) for s in (0.04, 59.96, 60, 3599.6, 3661)] == [
        "0.0 s",
        "1 min 00 s",
        "1 min 00 s",
        "1 h 00 min",
        "1 h 01 min",
    ]


@pytest.mark.parametrize(
    "source, is_path, short",
    [
        ("distilbert/distilbert-base-uncased", False, "distilbert/distilbert-base-uncased"),
        ("bert-base-uncased", False, "bert-base-uncased"),
        ("/a/b/encoder", True, "encoder"),
        ("./encoder/", True, "encoder"),
        ("~/models/encoder", True, "encoder"),
        ("C:\\models\\encoder", True, "encoder"),
        ("runs/text/out", True, "out"),
        ("photos/", True, "photos"),
        ("/site-packages/some_encoder/model", True, "some_encoder"),
    ],
)
def test_paths_are_shown_by_their_last_name(source, is_path, short):
    assert results.is_path(source) is is_path
    assert results.short_source(source) == short


def sources(train, checkpoint, **data):
    return hub_sources({"data": {"train": train, **data}, "backbone": {"checkpoint": checkpoint}})


def test_hub_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    got = sources("nyu-mll/glue:sst2", "org/encoder", validation="validation", test="other/set")
    assert got == {"base_model": "org/encoder", "datasets": ["nyu-mll/glue", "other/set"]}
    assert sources("imdb", "bert-base-uncased") == {"base_model": "bert-base-uncased", "datasets": ["imdb"]}
    nothing = {"base_model": None, "datasets": []}
    assert sources("reviews.csv", "/models/encoder", test="data/more.csv") == nothing
    assert sources({"in_memory": 12}, "~/encoder", validation=0.1) == nothing
    # a folder of that name is what was loaded
    (tmp_path / "org/encoder").mkdir(parents=True)
    (tmp_path / "imdb").mkdir()
    assert sources("imdb", "org/encoder") == nothing


def test_reading_a_result_imports_nothing_heavy():
    heavy = "{'torch', 'transformers', 'datasets', 'evaluate', 'pandas', 'numpy', 'sklearn', 'huggingface_hub'}"
    code = f"import sys, hf_transfer.card, hf_transfer.results; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
