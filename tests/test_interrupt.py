"""Ctrl-C in a real process: a complete checkpoint, a line that says how to go on, exit status 130."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_ctrl_c_then_resume(tmp_path, mini_text, reviews):
    command = [
        sys.executable, str(ROOT / "scripts/run_recipe.py"), "text/lstm_frozen", "--data.train", str(reviews),
        "--data.label", "stars", "--backbone.checkpoint", str(mini_text), "--backbone.max_length", "32",
        "--head.hidden_size", "8", "--num_train_epochs", "15", "--per_device_train_batch_size", "2",
        "--output_dir", str(tmp_path / "out"),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)  # a launcher passes on what the terminal has sent already
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    last = errors.strip().splitlines()[-1]
    assert "--resume" in last and str(tmp_path / "out") in last
    checkpoint = Path(last.split("the checkpoint is in ")[1].split(". To go on")[0])
    assert {"trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth"} <= {
        path.name for path in checkpoint.iterdir()
    }
    stopped_at = json.loads((checkpoint / "trainer_state.json").read_text())["global_step"]

    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "epoch 1/" not in done.stdout and "epoch 15/15" in done.stdout
    assert stopped_at >= 42 and (tmp_path / "out/results.json").exists()
