"""Bad input, as a user meets it: one line that says where and what, status 2, and an output folder that loses nothing.

Every case goes through the real command line with mini checkpoints; nothing stands in for the run.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mini import make_texts, write_csv, write_images

import hf_transfer
from hf_transfer import cli, load

ROOT = Path(hf_transfer.__file__).resolve().parents[1]


def table(rows, header: str = "text,label") -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


TEXTS = table(make_texts(30))


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder and what it holds; folders have nothing."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def call(capfd, *words) -> tuple[int, str, str]:
    capfd.readouterr()
    code = cli.main([str(word) for word in words])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def refused(capfd, *words, says=(), lacks=()) -> str:
    """Run a command that must fail: one line and status 2; with `--traceback`, the traceback before the same line."""
    words = [str(word) for word in words]
    code, out, err = call(capfd, *words)
    assert code == 2, out + err
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n"), err
    for part in says:
        assert str(part) in err
    for part in lacks:
        assert str(part) not in err

    again = (
        cli.run_recipe_main([*words[1:], "--traceback"]) if words[0] == "run" else cli.main([*words, "--traceback"])
    )
    shown = capfd.readouterr().err
    assert again == 2
    assert shown.startswith("Traceback (most recent call last):") and shown.endswith("\n" + err)
    return err


@pytest.fixture(scope="module")
def trained(tmp_path_factory, mini_text, reviews):
    """A finished text run."""
    folder = tmp_path_factory.mktemp("trained") / "text"
    words = ["--data.train", reviews, "--data.text", "body", "--data.label", "stars", "--output_dir", folder]
    assert cli.main([str(word) for word in ("run", "text/linear_probe", *small(mini_text, text=True), *words)]) == 0
    return folder


@pytest.fixture(scope="module")
def trained_on_images(tmp_path_factory, mini_image, photos):
    folder = tmp_path_factory.mktemp("trained") / "images"
    words = ["--data.train", photos, "--output_dir", folder]
    assert cli.main([str(word) for word in ("run", "vision/linear_probe", *small(mini_image), *words)]) == 0
    return folder


def small(checkpoint, text: bool = False) -> list:
    return [
        "--backbone.checkpoint",
        checkpoint,
        f"--backbone.{'max_length' if text else 'image_size'}",
        32,
        "--max_steps",
        2,
    ]


@pytest.fixture
def out(trained, tmp_path, monkeypatch):
    """An output folder with a finished model and something of the user's, all of which the test must leave alone."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out"
    shutil.copytree(trained, folder)
    (folder / "notes.txt").write_text("mine")
    before = contents(folder)
    yield folder
    assert contents(folder) == before


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


@pytest.fixture
def pictures(tmp_path) -> Path:
    return write_images(tmp_path / "pictures", count=6)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


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


def text(capfd, checkpoint, reviews, *words, says, folder=("--output_dir", "out", "--overwrite")):
    data = ["--data.train", reviews, "--data.text", "body", "--data.label", "stars"]
    return refused(capfd, "run", "text/linear_probe", *small(checkpoint, text=True), *data, *folder, *words, says=says)


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


# ---------------------------------------------------------------------------------------------------------------------
# The output folder


def test_an_output_folder_that_cannot_be_used(capfd, out, tmp_path, mini_text, reviews):
    def told(*folder, says):
        text(capfd, mini_text, reviews, says=says, folder=folder)

    told("--output_dir", "out", says=["--output_dir out", "not empty", "README.md", "--overwrite"])
    (tmp_path / "file").write_text("mine")
    for more in ([], ["--overwrite"], ["--resume"]):
        told("--output_dir", "file", *more, says=["--output_dir file", "is a file"])
        told("--output_dir", "file/deeper", *more, says=["file/deeper"])
    assert (tmp_path / "file").read_text() == "mine"


def test_resume_with_nothing_to_go_on_from(capfd, out, tmp_path, mini_text, reviews):
    def told(*folder, says):
        text(capfd, mini_text, reviews, says=says, folder=folder)

    told("--output_dir", "absent", "--resume", says=["--resume", "absent", "checkpoints"])
    (tmp_path / "empty").mkdir()
    told("--output_dir", "empty", "--resume", says=["--resume", "empty", "checkpoints"])
    told("--output_dir", "out", "--resume", says=["--resume", "out", "finished", "--overwrite"])
    told("--output_dir", "out", "--resume", "--overwrite", says=["--resume", "--overwrite", "only one"])
    assert not (tmp_path / "absent").exists()


def test_a_failed_overwrite_leaves_the_old_model_loadable(capfd, out, mini_text, reviews):
    before = load(out).predict(["a lovely film"])
    text(capfd, mini_text, reviews, "--data.label", "nothing", says=["'nothing'", "body, stars"])
    assert load(out).predict(["a lovely film"]) == before


def test_a_failed_overwrite_gives_the_checkpoints_back(capfd, out, mini_text, reviews):
    (out / "checkpoints/checkpoint-2").mkdir(parents=True)
    (out / "checkpoints/checkpoint-2/trainer_state.json").write_text("{}")
    before = contents(out)
    text(capfd, mini_text, reviews, "--data.label", "nothing", says=["'nothing'"])
    found = contents(out)
    for folder in out.glob("checkpoints*"):
        shutil.rmtree(folder)
    assert found == before


# ---------------------------------------------------------------------------------------------------------------------
# predict and evaluate


def predict(capfd, tmp_path, folder, *words, says, output="p.csv"):
    """A refused prediction; the predictions of an earlier one stay, and no half file is left."""
    (tmp_path / "p.csv").write_text("earlier")
    before = sorted(path.name for path in tmp_path.iterdir())
    refused(capfd, "predict", folder, *words, "--output", output, says=says)
    assert (tmp_path / "p.csv").read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_predict_without_a_model(capfd, out, tmp_path, reviews):
    predict(capfd, tmp_path, "absent", "--input", reviews, says=["absent", "not a folder", "finished run"])
    (tmp_path / "empty").mkdir()
    predict(capfd, tmp_path, "empty", "--input", reviews, says=["empty", "not a finished run", "recipe.json"])


def test_predict_with_a_damaged_model(capfd, trained, tmp_path, monkeypatch, reviews):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"

    def told(damage, says):
        shutil.copytree(trained, folder)
        damage()
        predict(capfd, tmp_path, "model", "--input", reviews, says=says)
        shutil.rmtree(folder)

    told(lambda: (folder / "recipe.json").write_text("{"), ["model/recipe.json", "damaged"])
    told(lambda: (folder / "recipe.json").write_text("{}"), ["recipe.json", "'summary' is missing"])
    told(lambda: (folder / "recipe.json").write_text("[]"), ["recipe.json", "found list"])
    told(lambda: (folder / "recipe.json").write_bytes(b"\xff\xfe"), ["model/recipe.json", "damaged"])
    told(lambda: (folder / "config.json").write_text("{"), ["model", "config.json"])
    told(lambda: (folder / "model.safetensors").unlink(), ["model", "model.safetensors"])
    told(lambda: truncate(folder / "model.safetensors"), ["model", "cannot be loaded"])
    told(lambda: [path.unlink() for path in folder.glob("tokenizer*")], ["model", "tokenizer"])


def test_predict_with_bad_input(capfd, out, tmp_path, photos):
    def told(*words, says, **more):
        predict(capfd, tmp_path, "out", *words, says=says, **more)

    told("--input", "absent.csv", says=["absent.csv", "no such file"])
    write_csv(tmp_path / "a.csv", ["x", "y"], [("a film", "1"), ("", "2")])
    told("--input", "a.csv", says=["a.csv", "'body'", "data.text", "x, y"])
    told("--input", "a.csv", "--data.text", "z", says=["a.csv", "'z'", "data.text", "x, y"])
    told("--input", "a.csv", "--data.text", "x", says=["a.csv", "'x'", "row 2 (line 3)"])
    told("--input", "a.csv", "--data.image", "x", says=["--data.image", "TextClassification"])
    told("--input", "a.csv", output="absent/p.csv", says=["--output absent/p.csv", "folder that exists"])
    told("--input", "a.csv", output="out", says=["--output out", "file"])
    told("--input", photos, says=["is a folder", "text", ".csv"])
    (tmp_path / "a.csv").write_text("")
    told("--input", "a.csv", says=["a.csv", "empty"])
    (tmp_path / "a.csv").write_bytes("body\ncafé\n".encode("latin-1"))
    told("--input", "a.csv", says=["a.csv", "line 2", "utf-8", "--data.encoding"])


def test_predict_with_bad_images(capfd, trained_on_images, tmp_path, monkeypatch, pictures):
    monkeypatch.chdir(tmp_path)

    def told(*words, says):
        predict(capfd, tmp_path, trained_on_images, *words, says=says)

    told("--input", "absent", says=["absent", "no such file or folder"])
    (tmp_path / "empty").mkdir()
    told("--input", "empty", says=["empty", "no files"])
    write_csv(tmp_path / "a.csv", ["body"], [("a film",)])
    told("--input", "a.csv", says=["a.csv", "'image'", "body"])
    told("--input", "pictures", "--data.text", "x", says=["--data.text", "ImageClassification"])
    truncate(pictures / "light/002.png")
    told("--input", "pictures", says=["pictures/light/002.png", "damaged"])


def test_evaluate_with_bad_input(capfd, out, tmp_path, photos):
    def told(*words, says):
        refused(capfd, "evaluate", "out", *words, says=says)

    told("--data.test", "absent.csv", says=["absent.csv", "no such file"])
    rows = [*make_texts(4, seed=1), ("a new film", "ugly")]
    write_csv(tmp_path / "t.csv", ["body", "stars"], rows)
    told("--data.test", "t.csv", says=["t.csv", "row 5 (line 6)", "'ugly'", "bad, good"])
    told("--data.test", "t.csv", "--data.label", "x", says=["t.csv", "'x'", "data.label", "body, stars"])
    told("--data.test", "t.csv", "--data.drop_broken", says=["--data.drop_broken", "TextClassification"])
    told("--data.test", photos, says=["is a folder", ".csv"])
    write_csv(tmp_path / "t.csv", ["body", "stars"], [(text, "") for text, _ in rows])
    told("--data.test", "t.csv", says=["t.csv", "'stars'", "no labels"])
    refused(capfd, "evaluate", "absent", "--data.test", "t.csv", says=["absent", "not a folder"])
