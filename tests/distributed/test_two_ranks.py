"""Two CPU ranks under torchrun: one process group, the same result as one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mini import make_texts, write_csv

ROOT = Path(__file__).resolve().parents[2]
# `accelerate launch --cpu --num_processes 2` quietly runs ONE process; torchrun really starts two.
RANKS = dict(ACCELERATE_USE_CPU="true", GLOO_SOCKET_IFNAME="lo", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")


def launch(ranks: int, *words: str, **kwargs) -> subprocess.CompletedProcess:
    start = [sys.executable, str(ROOT / "scripts/run_recipe.py")]
    if ranks > 1:
        torchrun = "import sys; from torch.distributed.run import main; sys.exit(main())"
        start = [sys.executable, "-c", torchrun, f"--nproc_per_node={ranks}", "--master_port=29613", start[1]]
    environment = {**os.environ, **RANKS}
    return subprocess.run(
        [*start, *words], capture_output=True, text=True, timeout=400, env=environment, cwd=ROOT, **kwargs
    )


def train(ranks: int, name: str, folder: Path, *words: str) -> dict:
    done = launch(ranks, name, "--output_dir", str(folder), "--per_device_train_batch_size", str(8 // ranks), *words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("The model is in") == 1
    result = json.loads((folder / "results.json").read_text())
    assert result["environment"]["processes"] == ranks
    return result


@pytest.fixture
def words(tmp_path, mini_text):
    # An odd number of rows, so that neither the ranks nor the batches come out even.
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], make_texts(401))
    return ["--data.train", str(rows), "--backbone.checkpoint", str(mini_text), "--backbone.max_length", "32"]


def test_full_fine_tuning_reaches_the_same_accuracy(tmp_path, words):
    words += ["--num_train_epochs", "5", "--learning_rate", "5e-3", "--warmup_steps", "0"]
    one, two = (train(ranks, "text/full_finetune", tmp_path / str(ranks), *words) for ranks in (1, 2))
    assert two["data"] == one["data"]
    assert two["metrics"]["test"]["accuracy"] == pytest.approx(one["metrics"]["test"]["accuracy"], abs=0.005)


def test_without_dropout_the_steps_are_the_same(tmp_path, words):
    """Rows in file order and no dropout: the global steps hold the same rows, so the weights must come out equal."""
    words += ["--max_steps", "12", "--head.dropout", "0", "--train_sampling_strategy", "sequential"]
    one, two = (train(ranks, "text/lstm_frozen", tmp_path / str(ranks), *words) for ranks in (1, 2))
    assert two["metrics"]["test"]["loss"] == pytest.approx(one["metrics"]["test"]["loss"], abs=1e-5)
    assert two["metrics"]["validation"] == pytest.approx(one["metrics"]["validation"], abs=1e-5)


def test_a_mistake_is_told_and_ends_both_ranks(tmp_path, mini_text):
    done = launch(
        2, "text/full_finetune", "--data.train", str(tmp_path / "nothing.csv"), "--output_dir", str(tmp_path / "out"),
        "--backbone.checkpoint", str(mini_text), "--backbone.max_length", "32",
    )  # fmt: skip
    assert done.returncode != 0
    # The launcher ends the other rank as soon as one has ended, so one line or two appear.
    lines = [line for line in done.stderr.splitlines() if line.removeprefix("[rank 1] ").startswith("error: ")]
    assert 1 <= len(lines) <= 2 and all("nothing.csv" in line for line in lines)
