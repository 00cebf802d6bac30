"""README's own words are run: its Python, its commands on small data, its recipe table and its scores."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv, write_images

from hf_transfer import cli, list_recipes

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A stranger's folder: reviews, photos, new rows; and small checkpoints where the Hub's would be."""
    path = tmp_path_factory.mktemp("stranger")
    write_csv(path / "reviews.csv", ["body", "stars"], make_texts(80))
    write_csv(path / "new.csv", ["body"], [[text] for text, _ in make_texts(5, seed=1)])
    write_csv(path / "more.csv", ["body", "stars"], make_texts(20, seed=2))
    write_csv(path / "tweets.csv", ["text"], [[text] for text, _ in make_texts(40, seed=4)])
    write_csv(path / "labelled_tweets.csv", ["text", "label"], make_texts(20, seed=5))
    write_images(path / "photos")
    (path / "raw.txt").write_text("".join(f"{text}\n" for text, _ in make_texts(60, seed=3)))
    mini_text_checkpoint(path / "sentence-transformers/all-MiniLM-L6-v2", max_position_embeddings=260)
    mini_image_checkpoint(path / "net")
    return path


def test_python(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (source,) = blocks("python")
    exec(compile(source, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] in ("bad", "good")


def test_commands(folder, monkeypatch, capsys):
    """In order, since later ones read what earlier ones wrote; `accelerate launch` and the checkpoint are swapped."""
    monkeypatch.chdir(folder)
    commands = [line for block in blocks("bash") for line in block.splitlines() if not line.startswith("make ")]
    assert len(commands) == 9
    for command in commands:
        words = shlex.split(command)
        if words[:2] == ["accelerate", "launch"]:
            assert words[2] == "scripts/run_recipe.py"
            modality = words[3].split("/")[0]
            small = {"text": "sentence-transformers/all-MiniLM-L6-v2", "vision": "net"}[modality]
            extra = ["--backbone.checkpoint", small, "--max_steps", "2", "--per_device_train_batch_size", "4"]
            extra += ["--backbone.image_size", "64"] if modality == "vision" else []
            assert cli.run_recipe_main([*words[3:], *extra]) == 0, command
        else:
            assert words[0] == "hf-transfer"
            if words[1] == "run" and words[2].startswith("pipelines/"):
                small = "sentence-transformers/all-MiniLM-L6-v2"
                words += ["--1.backbone.checkpoint", small, "--2.backbone.checkpoint", small, "--max_steps", "2"]
            assert cli.main(words[1:]) == 0, command
        assert capsys.readouterr().out
    assert (folder / "predictions.csv").read_text().startswith("body,label,confidence,prob_bad,prob_good")


def test_every_recipe_is_in_the_table():
    table = README.split("## Recipes")[1].split("## ")[0]
    named = [name for line in table.splitlines() for name in re.findall(r"`(\w+/\w+)`", line.split(" | ")[0])]
    assert sorted(named) == sorted(list_recipes())


def test_the_scores_are_those_of_the_committed_results():
    done = subprocess.run([sys.executable, "benchmarks/readme_table.py", "--check"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_the_shown_table_is_of_a_committed_run():
    (shown,) = blocks("text")
    runs = json.loads((ROOT / "benchmarks/results/demo_scores.json").read_text())["recipes"]["text/lstm_frozen"][
        "runs"
    ]
    first = next(run for run in runs if run["seed"] == 42)  # the seed of `make demo`
    for split in ("validation", "test"):
        row = next(line.split() for line in shown.splitlines() if line.startswith(split))
        scores = first[split]
        assert [row[1], row[-2], row[-1]] == [f"{scores[name]:.4f}" for name in ("accuracy", "macro_f1", "loss")]
