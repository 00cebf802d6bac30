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


@pytest.mark.parametrize(
    "name",
    ["text/full_finetune", pytest.param("text/lstm_frozen", marks=pytest.mark.distributed)],
)
def test_two_ranks_equal_one(name, tmp_path, mini_text):
    # 101 rows, so that neither the ranks nor the batches come out even.
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], make_texts(101))
    results = []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        done = launch(
            ranks, name, "--data.train", str(rows), "--backbone.checkpoint", str(mini_text), "--backbone.max_length",
            "32", "--output_dir", str(folder), "--num_train_epochs", "6", "--learning_rate", "5e-3",
            "--per_device_train_batch_size", str(8 // ranks), "--warmup_steps", "0",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("The model is in") == 1
        results.append(json.loads((folder / "results.json").read_text()))
    one, two = results
    assert (one["environment"]["processes"], two["environment"]["processes"]) == (1, 2)
    assert two["data"] == one["data"]
    assert two["metrics"]["test"]["accuracy"] == pytest.approx(one["metrics"]["test"]["accuracy"], abs=0.005)


def test_a_mistake_is_told_once_and_ends_both_ranks(tmp_path):
    done = launch(
        2, "text/full_finetune", "--data.train", str(tmp_path / "nothing.csv"), "--output_dir", str(tmp_path)
    )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "nothing.csv" in lines[0]
