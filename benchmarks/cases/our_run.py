"""One run of ours by the user's own command, in a process of its own."""

import json
import os
import sys
import tempfile
from pathlib import Path

from harness import run_process


def our_run(recipe: str, flags: list, cache: Path | None = None) -> dict:
    """Run a recipe on the demo checkpoint and return what it says of itself and what was seen from outside.

    Args:
        recipe (`str`): its name.
        flags (`list`): of the command line.
        cache (`Path`, *optional*): folder of recorded features; by default a fresh one, gone afterwards.

    Returns:
        `dict`: `whole_s` (wall time of the process), `peak_mb` (RssAnon), `accuracy` and `loss` on test, `per_s`
        (train rows per second of the training phase), and `timing` as results.json holds it.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        finished = run_process(
            [sys.executable, "scripts/run_recipe.py", recipe, "--demo", *map(str, flags), "--output_dir", str(output)],
            {"HF_TRANSFER_CACHE": os.fspath(cache or Path(folder) / "cache")},
        )
        result = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return {
        "whole_s": finished.seconds,
        "peak_mb": finished.peak_bytes / 1e6,
        "accuracy": result["metrics"]["test"]["accuracy"],
        "loss": result["metrics"]["test"]["loss"],
        "per_s": result["throughput"].get("train_samples_per_s"),
        "timing": result["timing"],
    }
