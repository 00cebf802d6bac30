"""Scores of recipes on the embedded data sets, several seeds each: the README's table.

    python benchmarks/demo_scores.py                                  # everything, about half an hour on two cores
    python benchmarks/demo_scores.py --recipes text/linear_probe --seeds 42 43 44

A seed moves the head's weights, the order of the rows and dropout; the split stays. Writes
benchmarks/results/demo_scores.json, keeping what it holds of recipes that are not asked for.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from harness import write_results

RESULTS = Path(__file__).parent / "results" / "demo_scores.json"
RECIPES = (
    "text/linear_probe",
    "text/mlp_frozen",
    "text/lstm_frozen",
    "text/lstm_embeddings",
    "text/full_finetune",
    "vision/linear_probe",
    "vision/full_finetune",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44])
    asked = parser.parse_args()

    from hf_transfer.demo import demo_recipe
    from hf_transfer.recipe_files import load_recipe
    from hf_transfer.runner import run

    content = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"recipes": {}}
    for name in asked.recipes:
        runs = []
        for seed in asked.seeds:
            with tempfile.TemporaryDirectory() as folder:
                result = run(demo_recipe(load_recipe(name)), folder, name=name, seed=seed)
            runs.append(
                {
                    "seed": seed,
                    "validation": result.metrics["validation"],
                    "test": result.metrics["test"],
                    "test_ci95": result.data["headline"]["ci95"],
                    "baselines": result.data["baselines"],
                }
            )
        content["recipes"][name] = {
            "training": result.data["training"],
            "rows": {split: result.data["data"][split] for split in ("train", "validation", "test")},
            "test": {metric: summary([run["test"][metric] for run in runs]) for metric in ("accuracy", "macro_f1")},
            "runs": runs,
        }
        content["environment"] = result.data["environment"]
        write_results(RESULTS, content)


def summary(values: list[float]) -> dict[str, float]:
    """Mean, and the spread as the smallest and the largest value."""
    return {
        "mean": round(statistics.mean(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


if __name__ == "__main__":
    main()
