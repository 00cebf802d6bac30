"""The Markdown table and the plot of a results file.

python benchmarks/report.py benchmarks/results/speed-cpu-amx.json          # again, without measuring
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from harness import met, read_results

HEADER = ("what", "ours", "rival", "ratio", "target", "")


def table(content: Mapping, order: list[str] | None = None) -> str:
    """Return the Markdown of all entries: one table, and below it what one must know to read it.

    Args:
        content (`Mapping`): of a results file.
        order (`list[str]`, *optional*): names of benchmarks; others follow in alphabetical order.
    """
    entries = _ordered(content, order)
    lines = [
        "| " + " | ".join(HEADER) + " |",
        "|---|---|---|---|---|---|",
        *(_line(row, entry["environment"]) for entry in entries for row in entry["rows"]),
        "",
        *_machines(entries),
        "",
        *(f"- {note}" for entry in entries for note in entry["notes"]),
    ]
    return "\n".join(lines) + "\n"


def _ordered(content: Mapping, order: list[str] | None) -> list[Mapping]:
    places = {name: place for place, name in enumerate(order or [])}
    names = sorted(content["entries"], key=lambda name: (places.get(name, len(places)), name))
    return [content["entries"][name] for name in names]


def _line(row: Mapping, environment: Mapping) -> str:
    if row["kind"] == "ratio":
        unit = f" {row['unit']}"
        cells = (
            row["what"],
            number(row["ours_median"]) + unit,
            f"{number(row['rival_median'])}{unit} ({row['rival_name']})",
            number(row["value"]) + _interval(row),
        )
    else:
        unit = row["unit"] if row["unit"] == "%" else f" {row['unit']}".rstrip()
        cells = (row["what"], number(row["value"]) + unit + _interval(row), "", "")
    target = "" if row["target"] is None else f"{row['target_is']} {number(row['target'])}{_target_unit(row)}"
    return "| " + " | ".join((*cells, target, verdict(row, environment))) + " |"


def verdict(row: Mapping, environment: Mapping) -> str:
    """Return `met`, `not met` (and why, where it is not the speed), nothing without a target, or `measured` where the
    target is for another machine."""
    reached = met(row)
    if reached is None:
        return ""
    if not applies(environment):
        return "measured"
    if not reached and met({**row, "less_accurate": False}):
        return "not met: fast enough, but less accurate"
    return "met" if reached else "not met"


def applies(environment: Mapping) -> bool:
    """Whether the targets are for such a machine: a CPU with fast bf16."""
    return environment["device"] == "cpu" and environment["fast_bf16"]


def _target_unit(row: Mapping) -> str:
    if row["kind"] == "ratio" or not row["unit"] or row["unit"] == "times":
        return ""
    return row["unit"] if row["unit"] == "%" else f" {row['unit']}"


def _interval(row: Mapping) -> str:
    if len(row["values"]) < 2:
        return ""
    low, high = (number(value) for value in row["interval"])
    return f" ({low} to {high})"


def _machines(entries: list[Mapping]) -> list[str]:
    seen = {}
    for entry in entries:
        facts = entry["environment"]
        bf16 = "with fast bf16" if facts["fast_bf16"] else "without fast bf16"
        line = (
            f"{facts['device_name']} ({facts['device']}), {facts['cores']} cores, {facts['threads']} threads, {bf16}; "
            f"torch {facts['torch']}, transformers {facts['transformers']}, timm {facts['timm']}, "
            f"sentence-transformers {facts['sentence_transformers']}."
        )
        if not applies(facts):
            line += " The targets are for a CPU with fast bf16; here the table says what was measured."
        seen[line] = None
    return [
        *seen,
        "",
        "Both sides run in turn on the same rows. Figures are medians, a ratio is the median over the pairs; in "
        "brackets its interval from order statistics, at 95% from six pairs on, else the smallest to the largest.",
    ]


def number(value: float) -> str:
    """Three significant digits, thousands with a comma, no exponent."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size >= 0.1 or value == 0 else f"{value:.4f}".rstrip("0")


def plot(content: Mapping, path: Path, order: list[str] | None = None) -> None:
    """Draw the ratios of all entries as bars on a logarithmic axis, the targets as lines across them."""
    import matplotlib

    matplotlib.use("Agg")
    # The same figures give the same file; text stays text, which keeps it small.
    matplotlib.rcParams.update({"svg.hashsalt": "speed", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot, ticker

    rows = [row for entry in _ordered(content, order) for row in entry["rows"] if row["kind"] == "ratio"]
    if not rows:
        return
    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(rows) + 1.0), layout="constrained")
    for place, row in enumerate(rows):
        low, high = row["interval"]
        error = [[row["value"] - low], [high - row["value"]]]
        axes.barh(place, row["value"], color="#3b75af", height=0.6, xerr=error, ecolor="#222222", capsize=3)
        axes.text(high * 1.06, place, number(row["value"]), va="center")
        if row["target"] is not None:
            axes.plot([row["target"]] * 2, [place - 0.4, place + 0.4], color="#d1495b", linewidth=2)
    axes.axvline(1, color="#222222", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min(0.8, *axes.get_xlim()), axes.get_xlim()[1] * 1.4)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_yticks(range(len(rows)), [f"{row['what']}\nover {row['rival_name']}" for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("times as fast (red: target)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def write(results: Path, order: list[str] | None = None, with_plot: bool = True) -> None:
    """Write the table, and the plot, beside a results file."""
    content = read_results(results)
    results.with_suffix(".md").write_text(table(content, order), encoding="utf-8")
    if with_plot:
        plot(content, results.with_suffix(".svg"), order)


if __name__ == "__main__":
    from run import BENCHMARKS

    write(Path(sys.argv[1]), list(BENCHMARKS))
