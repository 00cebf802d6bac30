"""Peak private memory of a run on 100,000 rows of 120 words: split, tokenised, and training under way.

    python benchmarks/memory.py

Private means RssAnon: `ru_maxrss` would count the memory-mapped Arrow file too. The run is stopped after its first
steps. Writes benchmarks/results/memory.json.
"""

import csv
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import write_results

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "memory.json"
ROWS, WORDS = 100_000, 120


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = write_table(Path(folder) / "rows.csv")
        command = [
            sys.executable, "scripts/run_recipe.py",
            "text/full_finetune", "--demo", "--data.train", str(table), "--output_dir", f"{folder}/out",
            "--logging_strategy", "no",
        ]  # fmt: skip
        log = Path(folder) / "log"
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
        peak, start, trained_at = 0, time.time(), None
        while process.poll() is None and time.time() - start < 1800:
            peak = max(peak, private_bytes(process.pid))
            if trained_at is None and "train:" in log.read_text():
                trained_at = time.time()
            if trained_at and time.time() - trained_at > 30:
                break
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.wait()
        if trained_at is None:
            sys.exit(f"the run never trained:\n{log.read_text()[-2000:]}")
    content = {"rows": ROWS, "words_per_row": WORDS, "peak_rss_anon_gb": round(peak / 1e9, 3)}
    write_results(RESULTS, content)
    print(RESULTS.read_text())


def write_table(path: Path) -> Path:
    draw = random.Random(0)
    vocabulary = [f"w{number}" for number in range(20_000)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(ROWS):
            writer.writerow([" ".join(draw.choices(vocabulary, k=WORDS)), "ab"[number % 2]])
    return path


def private_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:  # it ended just now
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")]
    return int(found[0]) * 1024 if found else 0


if __name__ == "__main__":
    main()
