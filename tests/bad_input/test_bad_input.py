"""Bad input, as a user meets it: one line that says where and what, status 2, and an output folder that loses nothing.

Every case goes through the real command line with mini checkpoints; nothing stands in for the run.
"""

import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mini import make_texts, write_csv, write_images
from refusals import call, refused, small, text, truncate

import hf_transfer

ROOT = Path(hf_transfer.__file__).resolve().parents[1]


def table(rows, header: str = "text,label") -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


TEXTS = table(make_texts(30))


# ---------------------------------------------------------------------------------------------------------------------
# Text data

EMPTY_TEXTS = table([*make_texts(12), ("", "good"), ("  ", "bad")])

TEXT_CASES = {
    "a missing file": ("nope.csv", None, "", ["nope.csv", "no such file"]),
    "a missing file in a missing folder": ("nope/nope.csv", None, "", ["nope/nope.csv", "no such file"]),
    "an empty file": ("a.csv", "", "", ["a.csv", "empty"]),
    "blank lines": ("a.csv", "\n\n\n", "", ["a.csv", "empty"]),
    "a header only": ("a.csv", "text,label\n", "", ["a.csv", "header", "no rows"]),
    "an empty list": ("a.json", "[]", "", ["a.json", "no rows"]),
    "a file of another kind": ("a.xlsx", "PK", "", ["a.xlsx", ".xlsx", "allowed", ".csv", ".parquet"]),
    "an unknown text column": ("a.csv", TEXTS, "--data.text body", ["a.csv", "'body'", "data.text", "text, label"]),
    "an unknown label column": (
        "a.csv",
        TEXTS,
        "--data.label stars",
        ["a.csv", "'stars'", "data.label", "text, label"],
    ),
    "no column of a usual name": ("a.csv", "a,b\nx,y\n", "", ["a.csv", "label", "--data.label", "a, b"]),
    "two columns of a usual name": (
        "a.csv",
        table([(text, text, label) for text, label in make_texts(12)], "text,review,label"),
        "",
        ["a.csv", "text, review", "--data.text", "text, review, label"],
    ),
    "another separator": ("a.csv", "text;label\nx;y\n", "", ["a.csv", "text;label", "--data.sep"]),
    "a row that is too long": ("a.csv", "text,label\nx,y\nx,y,z\n", "", ["a.csv", "line 3", "3 cells", "2"]),
    "a quote that is never closed": ("a.csv", 'text,label\n"x,y\nx,y\n', "", ["a.csv", "line 2", "never closed"]),
    "a single class": (
        "a.csv",
        table([(text, "good") for text, _ in make_texts(12)]),
        "",
        ["a.csv", "'label'", "single class", "'good'", "at least 2"],
    ),
    "fewer rows of a class than splits": (
        "a.csv",
        table([*make_texts(12), ("a rare film", "rare"), ("one more", "rare")]),
        "",
        ["a.csv", "'rare'", "2 rows", "at least 3", "train, test, validation"],
    ),
    "empty texts": ("a.csv", EMPTY_TEXTS, "", ["a.csv", "'text'", "row 13 (line 14), row 14 (line 15)", "drop_empty"]),
    "NaN texts": (
        "a.jsonl",
        '{"text": null, "label": "x"}\n{"text": "a", "label": "y"}\n{"text": null, "label": "x"}\n',
        "",
        ["a.jsonl", "'text'", "row 1 (line 1), row 3 (line 3)", "--data.drop_empty"],
    ),
    "labels missing in some rows": (
        "a.csv",
        table([*make_texts(12), ("abc", "")]),
        "",
        ["a.csv", "'label'", "row 13 (line 14)", "1 of 13"],
    ),
    "texts that are numbers": (
        "a.jsonl",
        '{"text": 1, "label": "x"}\n',
        "",
        ["a.jsonl", "'text'", "int64", "allowed"],
    ),
    "a damaged line": ("a.jsonl", '{"text": "a", "label": "x"}\n{"text"\n', "", ["a.jsonl", "line 2", "JSON"]),
    "a damaged Parquet file": ("a.parquet", "PAR1 or not", "", ["a.parquet", "Parquet"]),
    "a wrong encoding": (
        "a.csv",
        "text,label\ngood film,good\ncafé,bad\n".encode("latin-1"),
        "",
        ["a.csv", "line 3", "utf-8", "0xe9", "--data.encoding", "cp1252"],
    ),
    "an unknown encoding": ("a.csv", TEXTS, "--data.encoding utf-9", ["data.encoding", "'utf-9'", "allowed", "utf-8"]),
    "an unknown kind of task": (
        "a.csv",
        TEXTS,
        "--data.problem_type regresion",
        ["data.problem_type", "'regresion'", "allowed", "regression"],
    ),
    "a share above one": ("a.csv", TEXTS, "--data.test 1.5", ["data.test", "1.5", "allowed", "below 1"]),
    "train as test": ("a.csv", TEXTS, "--data.test a.csv", ["data.train", "data.test", "same rows", "a.csv"]),
    "names for regression": (
        "a.csv",
        TEXTS,
        "--data.problem_type regression",
        ["a.csv", "row 1 (line 2)", "'label'", "'bad'", "number"],
    ),
    "class weights, and regression asked for": (
        "a.csv",
        TEXTS,
        "--data.class_weights balanced --data.problem_type regression",
        ["data.class_weights", "'balanced'", "allowed: none"],
    ),
    "class weights, and regression found": (
        "a.csv",
        table([(text, f"{len(text) / 7:.2f}") for text, _ in make_texts(12)]),
        "--data.class_weights balanced",
        ["data.class_weights", "'balanced'", "regression", "allowed", "none"],
    ),
}


@pytest.mark.parametrize("case", TEXT_CASES)
def test_text_data(case, capfd, out, tmp_path, mini_text):
    name, content, more, says = TEXT_CASES[case]
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    data = ["--data.train", name, *more.split()]
    words = ["run", "text/linear_probe", *small(mini_text, text=True), *data, "--output_dir", "out", "--overwrite"]
    refused(capfd, *words, says=says)


def test_a_label_that_only_test_has(capfd, out, tmp_path, mini_text):
    (tmp_path / "a.csv").write_text(TEXTS)
    write_csv(tmp_path / "t.csv", ["text", "label"], [*make_texts(5, seed=1), ("a new film", "ugly")])
    words = ["--data.train", "a.csv", "--data.test", "t.csv", "--output_dir", "out", "--overwrite"]
    says = ["t.csv", "row 6 (line 7)", "'ugly'", "bad, good"]
    refused(capfd, "run", "text/linear_probe", *small(mini_text, text=True), *words, says=says)


def test_empty_texts_are_dropped_on_request_and_counted(capfd, tmp_path, mini_text):
    (tmp_path / "a.csv").write_text(EMPTY_TEXTS)
    words = ["--data.train", tmp_path / "a.csv", "--data.drop_empty", "--output_dir", tmp_path / "new"]
    code, shown, _ = call(capfd, "run", "text/linear_probe", *small(mini_text, text=True), *words)
    assert code == 0 and "2 rows without text" in shown
    assert json.loads((tmp_path / "new/results.json").read_text())["data"]["dropped"]["empty"] == 2


# ---------------------------------------------------------------------------------------------------------------------
# Image folders


def vision(capfd, mini_image, *words, says):
    run = ["run", "vision/linear_probe", *small(mini_image), *words, "--output_dir", "out", "--overwrite"]
    return refused(capfd, *run, says=says)


def test_damaged_images_and_files_that_are_none(capfd, out, pictures, mini_image):
    truncate(pictures / "dark/003.png")
    says = ["pictures/dark/003.png", "damaged", "truncated", "--data.drop_broken"]
    vision(capfd, mini_image, "--data.train", "pictures", says=says)
    (pictures / "light/readme.txt").write_text("not a picture")
    vision(capfd, mini_image, "--data.train", "pictures", says=[*says, "1 more", "pictures/light/readme.txt"])
    (pictures / "dark/003.png").unlink()
    vision(capfd, mini_image, "--data.train", "pictures", says=["pictures/light/readme.txt", "is not an image"])


def test_they_are_dropped_on_request_and_counted(capfd, tmp_path, pictures, mini_image):
    truncate(pictures / "dark/003.png")
    (pictures / "light/readme.txt").write_text("not a picture")
    words = ["--data.train", pictures, "--data.drop_broken", "--output_dir", tmp_path / "new"]
    assert call(capfd, "run", "vision/linear_probe", *small(mini_image), *words)[0] == 0
    assert json.loads((tmp_path / "new/results.json").read_text())["data"]["dropped"]["broken"] == 2


def test_image_folders_that_hold_too_little(capfd, out, tmp_path, pictures, mini_image):
    (pictures / "grey").mkdir()
    vision(capfd, mini_image, "--data.train", "pictures", says=["pictures/grey", "class folder is empty"])
    (tmp_path / "empty").mkdir()
    vision(capfd, mini_image, "--data.train", "empty", says=["empty", "no class folders", "empty/<class>/*.jpg"])
    vision(capfd, mini_image, "--data.train", "pictures/dark", says=["no class folders", "pictures/dark/<class>"])
    vision(capfd, mini_image, "--data.train", "pictures/nope/", says=["pictures/nope", "no such file or folder"])
    write_images(tmp_path / "one", count=6, classes=("dark",))
    vision(capfd, mini_image, "--data.train", "one", says=["one", "single class", "'dark'", "at least 2"])
    write_images(tmp_path / "few", count=2)
    vision(capfd, mini_image, "--data.train", "few", says=["few", "'dark'", "2 rows", "at least 3"])


def test_a_table_of_images_that_are_not_there(capfd, out, tmp_path, mini_image):
    write_csv(tmp_path / "a.csv", ["image", "label"], [("x.png", "a"), ("y.png", "b")])
    vision(capfd, mini_image, "--data.train", "a.csv", says=["a.csv", "row 1 (line 2)", "x.png", "no such file"])


def test_augmentation_of_frozen_features(capfd, out, photos, mini_image):
    says = ["backbone.augmentation", "'crop'", "FrozenFeatures", "none", "FullFineTune"]
    vision(capfd, mini_image, "--data.train", photos, "--backbone.augmentation", "crop", says=says)


# ---------------------------------------------------------------------------------------------------------------------
# Recipes, flags, checkpoints


def test_an_unknown_recipe(capfd, out):
    refused(capfd, "run", "text/linear_prob", "--output_dir", "out", says=["'text/linear_prob'", "text/linear_probe"])
    refused(capfd, "run", "zzz", "--output_dir", "out", says=["'zzz'", "hf-transfer list"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--learning_rat", "1"], ["--learning_rat;", "--learning_rate?"]),
        (["--output", "x"], ["--output;", "--output_dir?"]),
        (["--backbone.poling", "mean"], ["--backbone.poling", "--backbone.pooling?"]),
        (["--data.labels", "x"], ["--data.labels", "--data.label?"]),
        (["--learning_rate", "fast"], ["--learning_rate", "'fast'", "allowed: a number"]),
        (["--lr_scheduler_type", "cosin"], ["--lr_scheduler_type", "'cosin'", "allowed", "cosine"]),
        (["--optim", "adamx"], ["--optim", "'adamx'", "allowed", "adamw_torch"]),
        (["--learning_rate", "-1"], ["learning_rate", "-1", "0 or more"]),
        (["--per_device_train_batch_size", "0"], ["per_device_train_batch_size", "is 0", "1 or more"]),
        (["--per_device_eval_batch_size", "0"], ["per_device_eval_batch_size", "is 0", "1 or more"]),
        (["--gradient_accumulation_steps", "0"], ["gradient_accumulation_steps", "is 0", "1 or more"]),
        (["--label_smoothing_factor", "2"], ["label_smoothing_factor", "is 2", "0 to 1"]),
        (["--dataloader_num_workers", "-1"], ["dataloader_num_workers", "is -1", "0 or more"]),
        (["--seed", "-1"], ["seed", "is -1", "0 to"]),
        (["--warmup_steps", "-3"], ["warmup_steps", "-3", ">= 0"]),
        (
            ["--eval_strategy", "steps", "--eval_steps", "3", "--save_strategy", "steps", "--save_steps", "4"],
            ["load_best_model_at_end", "4", "round multiple", "3"],
        ),
        (["--eval_strategy", "steps"], ["load_best_model_at_end", "strategy", "STEPS", "EPOCH"]),
        (["--optim", "sgd", "--optim_args", "momentum=-1"], ["training arguments", "momentum", "-1"]),
        (["--report_to", "nonsense"], ["training arguments", "nonsense", "tensorboard"]),
        (["--accelerator_config", "nope.json"], ["training arguments", "nope.json"]),
        (["--backbone.max_length", "900"], ["backbone.max_length", "900", "at most 80"]),
        (["--backbone.layer", "9"], ["backbone.layer", "9", "2 blocks"]),
        (["--head.dropout", "2"], ["dropout", "2.0", "[0, 1)"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_flags_and_training_arguments(words, says, capfd, out, mini_text, reviews):
    text(capfd, mini_text, reviews, *words, says=says)


@pytest.mark.skipif(find_spec("galore_torch") is not None, reason="the package is there")
def test_an_optimizer_whose_package_is_not_installed(capfd, out, mini_text, reviews):
    text(capfd, mini_text, reviews, "--optim", "galore_adamw", says=["training arguments", "install", "galore_torch"])


def test_an_unknown_metric_to_choose_the_best_by(capfd, out, mini_text, reviews):
    words = ["--metric_for_best_model", "acuracy"]
    text(capfd, mini_text, reviews, *words, says=["metric_for_best_model", "'acuracy'", "accuracy"])


def test_checkpoints_of_the_other_kind(capfd, out, reviews, photos, mini_text, mini_image):
    says = [mini_image, "'timm_wrapper'", "not a text encoder", "text recipe"]
    for recipe in ("text/linear_probe", "text/full_finetune"):
        data = ["--data.train", reviews, "--data.text", "body", "--data.label", "stars"]
        words = ["--backbone.checkpoint", mini_image, *data, "--output_dir", "out", "--overwrite"]
        refused(capfd, "run", recipe, *words, says=says)
    words = ["--backbone.checkpoint", mini_text, "--data.train", photos, "--output_dir", "out", "--overwrite"]
    says = [mini_text, "'bert'", "not a timm image net", "vision recipe"]
    refused(capfd, "run", "vision/linear_probe", *words, says=says)


def test_a_checkpoint_folder_without_a_checkpoint(capfd, out, tmp_path, reviews):
    (tmp_path / "bare").mkdir()
    text(capfd, tmp_path / "bare", reviews, says=["bare", "does not hold", "configuration"])
    text(capfd, tmp_path / "absent", reviews, says=["absent", "neither a folder", "--backbone.checkpoint", "--demo"])


def test_a_hub_that_is_switched_off(capfd, out, reviews, mini_text):
    data = ["--data.train", reviews, "--data.text", "body", "--data.label", "stars"]
    words = [*data, "--output_dir", "out", "--overwrite"]
    says = ["'sentence-transformers/all-MiniLM-L6-v2'", "neither a folder", "Hub", "network", "--demo"]
    refused(capfd, "run", "text/linear_probe", *words, says=says)
    words = [*small(mini_text, text=True), "--output_dir", "out", "--overwrite"]
    says = ["'fancyzhx/ag_news'", "Hub", "--data.train", "local file", "--demo"]
    refused(capfd, "run", "text/linear_probe", *words, says=says)


def test_a_hub_that_does_not_answer(out, tmp_path, reviews):
    """The Hub libraries would try six times over half a minute, with a warning each time."""
    with socket.socket() as taken:  # bound and not listening: nothing answers there while this lasts
        taken.bind(("127.0.0.1", 0))
        environment = {
            k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE" and not k.lower().endswith("_proxy")
        }
        environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{taken.getsockname()[1]}", "HF_HOME": str(tmp_path / "hf")}
        words = ["text/linear_probe", "--data.train", reviews, "--data.text", "body", "--data.label", "stars"]
        done = subprocess.run(
            [sys.executable, ROOT / "scripts/run_recipe.py", *words, "--output_dir", "out", "--overwrite"],
            env={**environment, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: checkpoint 'sentence-transformers/all-MiniLM-L6-v2' is neither a folder")
    assert "cannot be reached; only what is on this disk is used" in done.stdout


def test_the_unrelated_package_of_the_same_name(capfd, out, tmp_path, monkeypatch, reviews, mini_text):
    metadata = tmp_path / "site/hf_transfer-0.1.9.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: hf_transfer\nVersion: 0.1.9\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    says = ["hf_transfer 0.1.9", "unrelated", "pip uninstall hf_transfer", "hf-transfer-recipes"]
    text(capfd, mini_text, reviews, says=says)
    refused(capfd, "predict", "out", "--input", reviews, "--output", "p.csv", says=says)
    assert not (tmp_path / "p.csv").exists()
