"""How long help takes: median of five whole processes, with what the package installs present.

    python benchmarks/startup.py

Writes benchmarks/results/startup.json: seconds for each command, and for `import transformers.Trainer`, which is what
a command line built on TrainingArguments itself would pay.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import write_results

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "startup.json"
BIN = Path(sys.executable).parent
COMMANDS = {
    "hf-transfer --help": [str(BIN / "hf-transfer"), "--help"],
    "hf-transfer list": [str(BIN / "hf-transfer"), "list"],
    "python scripts/run_recipe.py text/lstm_frozen --help": [
        sys.executable,
        "scripts/run_recipe.py",
        "text/lstm_frozen",
        "--help",
    ],
    "import transformers.Trainer": [sys.executable, "-c", "from transformers import Trainer, HfArgumentParser"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    content = {}
    for name, command in COMMANDS.items():
        seconds(command)  # the first one compiles byte code
        content[name] = {"median_s": round(statistics.median(seconds(command) for _ in range(5)), 3), "runs": 5}
    write_results(RESULTS, content)
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
