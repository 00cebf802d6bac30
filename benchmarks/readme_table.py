"""Write README's tables from the committed results; `--check` only compares.

python benchmarks/readme_table.py
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MARKS = {
    "scores": "written by benchmarks/readme_table.py from benchmarks/results/demo_scores.json",
    "speed": "written by benchmarks/readme_table.py from benchmarks/results/speed-cpu-amx.md",
}


def scores() -> str:
    content = json.loads((RESULTS / "demo_scores.json").read_text(encoding="utf-8"))
    seeds = {len(entry["runs"]) for entry in content["recipes"].values()}
    lines = [
        f"`--demo` on a CPU, test split, mean of {min(seeds)} seeds (smallest to largest); again with `make scores`:",
        "",
        "| recipe | accuracy | macro-F1 | majority class |",
        "|---|---|---|---|",
    ]
    for name, entry in content["recipes"].items():
        cells = [
            f"{score['mean']:.4f} ({score['min']:.4f} to {score['max']:.4f})"
            for score in (entry["test"]["accuracy"], entry["test"]["macro_f1"])
        ]
        baseline = entry["runs"][0]["baselines"]["majority_class"]
        lines.append(f"| `{name}` | {cells[0]} | {cells[1]} | {baseline:.4f} |")
    return "\n".join(lines)


def speed() -> str:
    return (RESULTS / "speed-cpu-amx.md").read_text(encoding="utf-8").strip()


def written(text: str) -> str:
    """Return `text` with every marked part written anew."""
    for name, table in (("scores", scores), ("speed", speed)):
        start, end = f"<!-- {name}: {MARKS[name]} -->\n", f"<!-- end of {name} -->\n"
        before, rest = text.split(start)
        text = f"{before}{start}\n{table()}\n\n{end}{rest.split(end)[1]}"
    return text


def main() -> int:
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    new = written(text)
    if "--check" in sys.argv:
        if new != text:
            print("README.md's tables are not those of the results; run benchmarks/readme_table.py", file=sys.stderr)
        return int(new != text)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
