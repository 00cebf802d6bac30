"""Whether our full fine-tuning is as accurate as stock Trainer's, and what of it bfloat16 moves.

    python benchmarks/finetune_accuracy.py                 # 10 seeds: three quarters of an hour on two idle cores
    python benchmarks/finetune_accuracy.py --seeds 1 2 3 --sides ours Trainer

The rows, the checkpoint and the settings of the benchmark `full_finetune`. A seed gives all sides the same new head;
the order of the rows and dropout are each side's own. Writes benchmarks/results/finetune_accuracy.json after every
run, keeps what it holds, and measures what is missing. Student's 95% intervals of the paired differences on test.
"""

import argparse
import json
from pathlib import Path

from cases.finetune import ours, trainer
from harness import environment, write_results
from labels.summary import paired
from sizes import DEFAULT

RESULTS = Path(__file__).resolve().parent / "results" / "finetune_accuracy.json"
RIVAL = "Trainer"
SIDES = {
    RIVAL: lambda seed: trainer(DEFAULT, seed),
    "ours": lambda seed: ours(DEFAULT, seed),
    "Trainer, bf16": lambda seed: trainer(DEFAULT, seed, "--bf16"),
    "ours, float32": lambda seed: ours(DEFAULT, seed, "--dtype", "float32"),
}
KEPT = ("accuracy", "loss")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(1, 11)))
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    asked = parser.parse_args()
    content = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"runs": {}}
    for seed in asked.seeds:  # every seed on all sides before the next, so that what is done so far is paired
        for side in asked.sides:
            found = content["runs"].setdefault(side, {})
            if str(seed) not in found:
                figures = SIDES[side](seed)
                found[str(seed)] = {name: figures[name] for name in KEPT}
                write(content)
                print(f"seed {seed}  {side:14} {found[str(seed)]}", flush=True)
    for line in lines(content):
        print(line)


def differences(content: dict) -> dict[str, dict[str, dict[str, float]]]:
    """By side and measure: mean, ends of the interval and number of seeds of its paired difference to Trainer."""
    told = {}
    for side, runs in content["runs"].items():
        for measure in ("accuracy", "loss"):
            one, other = ({n: run[measure] for n, run in found.items()} for found in (runs, content["runs"][RIVAL]))
            found = None if side == RIVAL else paired(one, other)
            if found is not None:
                values = {name: round(getattr(found, name), 5) for name in ("mean", "low", "high")}
                told.setdefault(side, {})[measure] = {**values, "seeds": len(one.keys() & other.keys())}
    return told


def lines(content: dict) -> list[str]:
    """The differences in words."""
    return [
        f"{side} less {RIVAL}, {measure}: {one['mean']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f}), "
        f"{one['seeds']} seeds"
        for side, measures in content.get("differences", {}).items()
        for measure, one in measures.items()
    ]


def write(content: dict) -> None:
    content["environment"] = environment()
    if RIVAL in content["runs"]:
        content["differences"] = differences(content)
    write_results(RESULTS, content)


if __name__ == "__main__":
    main()
