"""The curve of WiSE-FT as a picture and as a table."""

from collections.abc import Sequence
from pathlib import Path

from ..results import number, title

PICTURE = "wise_ft.png"
NAMES = {"validation": "validation", "test": "test", "second_test": "second test"}
_STYLES = {"validation": ("tab:orange", "--"), "test": ("tab:blue", "-"), "second_test": ("tab:green", "-.")}


def draw_curve(curve: Sequence[dict], metric: str, chosen: float, path: Path) -> None:
    """Draw a metric over alpha, one line per split, and where alpha was chosen.

    Args:
        curve (`Sequence[dict]`): `alpha` and, by split, its metrics.
        metric (`str`): which one is drawn.
        chosen (`float`): alpha of the model that is kept.
        path (`Path`): of the PNG file.
    """
    from matplotlib.figure import Figure  # objects alone: pyplot would choose a backend for the whole process

    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for split, (colour, style) in _STYLES.items():
        points = [(entry["alpha"], entry[split][metric]) for entry in curve if metric in entry.get(split, {})]
        if points:
            axes.plot(
                *zip(*points, strict=True), color=colour, linestyle=style, marker="o", markersize=4, label=NAMES[split]
            )
    axes.axvline(chosen, color="0.6", linewidth=1, linestyle=":", label="kept")
    axes.set_xlabel("alpha (0: start, 1: fine-tuned)", fontsize=9)
    axes.set_ylabel(title(metric), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})


def curve_rows(curve: Sequence[dict], metric: str) -> list[list[str]]:
    """Return the curve as text, a row of titles first."""
    splits = [split for split in NAMES if split in curve[0]]
    head = ["alpha", *(f"{NAMES[split]} {title(metric)}" for split in splits)]
    return [head, *([f"{one['alpha']:g}", *(number(one[s].get(metric)) for s in splits)] for one in curve)]
