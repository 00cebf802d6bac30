"""Write README's table of scores from benchmarks/results/demo_scores.json; `--check` only compares.

python benchmarks/readme_table.py
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START = "<!-- scores: written by benchmarks/readme_table.py from benchmarks/results/demo_scores.json -->\n"
END = "<!-- end of scores -->\n"


def table() -> str:
    content = json.loads((ROOT / "benchmarks/results/demo_scores.json").read_text(encoding="utf-8"))
    seeds = {len(entry["runs"]) for entry in content["recipes"].values()}
    lines = [
        f"`--demo` on a CPU, test split, mean of {min(seeds)} seeds (smallest to largest); again with `make bench`:",
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
    return "\n".join(["", *lines, "", ""])


def main() -> int:
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(START)
    new = before + START + table() + END + rest.split(END)[1]
    if "--check" in sys.argv:
        if new != text:
            print(
                "README.md's scores are not those of demo_scores.json; run benchmarks/readme_table.py", file=sys.stderr
            )
        return int(new != text)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
