"""A script as one process, or as several CPU ranks under torchrun."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN_RECIPE = ROOT / "scripts/run_recipe.py"
# Found by this interpreter, not on the PATH.
TORCHRUN = "import sys; from torch.distributed.run import main; sys.exit(main())"
SETTINGS = dict(
    PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'tests/helpers'}",
    ACCELERATE_USE_CPU="true",
    GLOO_SOCKET_IFNAME="lo",
    OMP_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
)


def started(ranks: int, script, *words, timeout: float = 400, **environment: str) -> subprocess.CompletedProcess:
    """Run `script` on so many ranks and wait for its end, whatever that is."""
    start = [sys.executable]
    if ranks > 1:
        # `accelerate launch --cpu --num_processes 2` quietly runs ONE process; torchrun really starts two.
        start += ["-c", TORCHRUN, f"--nproc_per_node={ranks}", f"--master_port={_free_port()}"]
    return subprocess.run(
        [*start, str(script), *map(str, words)],
        capture_output=True, text=True, timeout=timeout, cwd=ROOT, env={**os.environ, **SETTINGS, **environment},
    )  # fmt: skip


def launched(ranks: int, script, *words, **settings) -> subprocess.CompletedProcess:
    """Run `script` as [`started`] does; it must succeed."""
    done = started(ranks, script, *words, **settings)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
