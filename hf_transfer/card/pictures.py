"""The pictures of a card, drawn from a result alone: the confusion matrix and the training curve.

matplotlib's objects are used directly: `pyplot` would keep every figure and choose a backend for the whole process.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..results import RunResult, one_line
from .fonts import font_for

MATRIX, CURVE = "confusion_matrix.png", "training_curve.png"
MOST_CLASSES = 50  # more and neither cells nor names can be told apart
_MOST_COUNTED = 20  # more and the numbers do not fit into the cells
_NAME_WIDTH = 24  # columns of a class name beside the matrix
_DPI = 150
_SAVING = {"dpi": _DPI, "facecolor": "white", "metadata": {"Software": None}}


def draw(result: RunResult, folder: Path) -> dict[str, dict[str, str]]:
    """Draw what a result has into `folder`.

    Args:
        result (`RunResult`): `confusion` and `history` of its results are drawn.
        folder (`Path`): where `confusion_matrix.png` and `training_curve.png` are written.

    Returns:
        `dict`: for results.json, by name of the picture its `file`; that of the confusion matrix also says whether
        its `labels` are the classes' "names" or, where no font on this machine has their letters, "numbers" from 1.
    """
    drawn = {}
    matrix = result.data.get("confusion")
    if matrix and len(matrix) <= MOST_CLASSES:
        names = [one_line(name, _NAME_WIDTH) for name in result.data["labels"]]
        font = font_for(names)
        _draw_matrix(matrix, names, font, folder / MATRIX)
        drawn["confusion_matrix"] = {"file": MATRIX, "labels": "names" if font is not None else "numbers"}
    if _draw_curve(result, folder / CURVE):
        drawn["training_curve"] = {"file": CURVE}
    return drawn


def _draw_matrix(matrix: Sequence[Sequence[int]], names: Sequence[str], font, path: Path) -> None:
    """Counts as numbers, colours by the share of each true class, so that a rare class is seen as well."""
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    many, number = len(names) > _MOST_COUNTED, len(names)
    cell = 0.2 if many else 0.42 if number > 10 else 0.6  # inches
    side = max(cell * number, 1.6)
    # The axes are the figure, so that a cell has this size whatever the names beside it take; `tight` adds the rest.
    figure = Figure(figsize=(side, side))
    axes = figure.add_axes((0, 0, 1, 1))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)

    if font is None:
        names, font = [str(i) for i in range(1, number + 1)], FontProperties(family="DejaVu Sans")
    font = font.copy()
    font.set_size(7 if many else 9)
    level = max(map(len, names)) <= 3 or max(map(len, names)) * 0.085 < side / number
    turned = dict(rotation=0) if level else dict(rotation=90 if many else 45, ha="center" if many else "right")
    if not level and not many:
        turned["rotation_mode"] = "anchor"
    # Class names may hold a dollar sign, which is no formula.
    axes.set_xticks(range(number), names, fontproperties=font, parse_math=False, **turned)
    axes.set_yticks(range(number), names, fontproperties=font, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    for spine in axes.spines.values():
        spine.set_color("0.7")
    if not many:
        small = 8 if len(str(counts.max())) <= 5 else 6
        for row in range(number):
            for column in range(number):
                ink = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=small, color=ink)
    scale = axes.inset_axes((1 + 0.12 / side, 0, 0.14 / side, 1))
    bar = figure.colorbar(image, cax=scale)
    bar.set_label("share of the true class", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_edgecolor("0.7")
    figure.savefig(path, bbox_inches="tight", pad_inches=0.1, **_SAVING)


def _draw_curve(result: RunResult, path: Path) -> bool:
    """The losses by epoch, and beside them the headline metric on the validation rows; whether there was any."""
    history, name = result.data.get("history") or [], result.headline["name"]
    losses = {
        "training rows": _points(history, lambda entry: entry.get("train_loss")),
        "validation rows": _points(history, lambda entry: (entry.get("validation") or {}).get("loss")),
    }
    scores = _points(history, lambda entry: (entry.get("validation") or {}).get(name))
    if not scores and not any(losses.values()):
        return False
    from matplotlib.figure import Figure

    count = 2 if scores else 1
    figure = Figure(figsize=(4.2 * count, 3))
    # Having the room measured instead takes a third of the time again.
    figure.subplots_adjust(left=0.17 / count, right=1 - 0.03 / count, bottom=0.16, top=0.96, wspace=0.27)
    panels = figure.subplots(1, count, squeeze=False)[0]
    for (label, points), colour, style in zip(losses.items(), ("tab:blue", "tab:orange"), ("-", "--"), strict=True):
        if points:
            panels[0].plot(*points, color=colour, linestyle=style, marker=_marker(points), markersize=4, label=label)
    panels[0].set_ylabel("loss", fontsize=9)
    if scores:
        panels[1].plot(*scores, color="tab:orange", linestyle="--", marker=_marker(scores), markersize=4)
        panels[1].set_ylabel(f"validation {result.metric_title(name)}", fontsize=9)
    kept = _kept_epoch(result, history)
    for panel in panels:
        if kept is not None:
            panel.axvline(kept, color="0.6", linewidth=1, linestyle=":", label="kept" if panel is panels[0] else None)
        panel.set_xlabel("epoch", fontsize=9)
        panel.tick_params(labelsize=8)
        panel.grid(color="0.92")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(fontsize=8, frameon=False)
    figure.savefig(path, **_SAVING)
    return True


def _points(history: Sequence[dict[str, Any]], value) -> tuple[list[float], list[float]] | None:
    """Epochs and values, without what is missing or not a number."""
    found = [(entry["epoch"], value(entry)) for entry in history if entry.get("epoch") is not None]
    found = [(epoch, y) for epoch, y in found if isinstance(y, int | float) and math.isfinite(y)]
    return tuple(map(list, zip(*found, strict=True))) if found else None


def _marker(points: tuple[list[float], list[float]]) -> str | None:
    """A line through many points needs no marks; a single point is nothing else."""
    return "o" if len(points[0]) <= 30 else None


def _kept_epoch(result: RunResult, history: Sequence[dict[str, Any]]) -> float | None:
    step = (result.data.get("fit") or {}).get("best_step")
    return next((entry["epoch"] for entry in history if entry["step"] == step), None) if step else None
