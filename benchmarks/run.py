"""Measure us and what people use today, on the same rows, checkpoint and machine, in turn.

    python benchmarks/run.py                              # everything: 40 minutes with fast bf16, 54 without
    python benchmarks/run.py --only gemm text_features
    python benchmarks/run.py --full                       # nothing cut short: hours
    python benchmarks/run.py --smoke                      # tiny sizes, to see that it works; results go elsewhere

Needs the extras `demo` and `bench`. Writes benchmarks/results/speed-KIND.json, by kind of device, with a table
(.md) and a plot (.svg) after every benchmark, so that what is done is kept when a later one fails or is stopped.
"""

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

import report
from cases import features, finetune, growth, heads
from harness import BenchmarkFailed, environment, merge
from sizes import DEFAULT, FULL, SMOKE

from hf_transfer.precision import device_kind

RESULTS = Path(__file__).parent / "results"
# Name to its function and the minutes it takes on two cores: by default, and in full.
BENCHMARKS = {
    "gemm": (features.gemm, 1, 1),
    "text_features": (features.text_features, 3.5, 6),
    "image_features": (features.image_features, 3, 12),
    "linear_head_10_epochs": (heads.linear_head_10_epochs, 6.5, 50),
    "lstm_head_10_epochs": (heads.lstm_head_10_epochs, 8, 75),
    "full_finetune": (finetune.full_finetune, 7, 80),
    "trainer_overhead": (finetune.trainer_overhead, 3, 3),
    "second_run": (heads.second_run, 2, 2),
    "growth": (growth.growth, 4, 12),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(BENCHMARKS), help="leave the others out")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--full", action="store_true", help="time everything instead of multiplying")
    sizes.add_argument("--smoke", action="store_true", help="tiny sizes, once; writes to a temporary folder")
    asked = parser.parse_args()
    chosen = [name for name in BENCHMARKS if not asked.only or name in asked.only]
    if asked.list:
        for name in chosen:
            print(f"{name:24}{BENCHMARKS[name][0].__doc__.splitlines()[0]}")
        return 0
    return run(chosen, asked.full, asked.smoke)


def run(chosen: list[str], full: bool, smoke: bool) -> int:
    """Measure what is chosen; returns the exit status: 1 when a benchmark failed, 130 after Ctrl-C."""
    machine = environment()
    folder = Path(tempfile.mkdtemp(prefix="speed-smoke-")) if smoke else RESULTS
    results = folder / f"speed-{device_kind(machine['device'])}.json"
    sizes = SMOKE if smoke else FULL if full else DEFAULT
    if not smoke:
        print_plan(chosen, full)
    failed = []
    for name in chosen:
        print(f"{name}: {BENCHMARKS[name][0].__doc__.splitlines()[0]}", flush=True)
        start = time.perf_counter()
        try:
            entry = BENCHMARKS[name][0](sizes)
        except KeyboardInterrupt:
            print(f"\nstopped in {name}; what was done before is in {results}", file=sys.stderr)
            return 130
        except Exception as error:  # whatever one benchmark dies of, the others are still worth measuring
            failed.append(name)
            print(f"\n{name} failed: {error}", file=sys.stderr)
            if not isinstance(error, BenchmarkFailed):  # those tell the other process's last lines already
                traceback.print_exc()
            continue
        minutes = round((time.perf_counter() - start) / 60, 1)
        content = merge(results, name, {**entry, "environment": machine, "full": full, "minutes": minutes})
        report.write(results, list(BENCHMARKS))
        shown = report.table({"entries": {name: content["entries"][name]}})
        print("\n".join(line for line in shown.splitlines() if line.startswith("| ")), flush=True)
    print(f"results in {results}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def print_plan(chosen: list[str], full: bool) -> None:
    minutes = {name: BENCHMARKS[name][2 if full else 1] for name in chosen}
    for name, expected in minutes.items():
        print(f"{name:24}about {expected:g} min on two cores")
    print(f"{'together':24}about {sum(minutes.values()):g} min", flush=True)


if __name__ == "__main__":
    sys.exit(main())
