"""The features of both domains in two dimensions, before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..card.fonts import font_for
from ..errors import UserError
from ..results import one_line
from ..reweighting.features import checked

MOST = 1000  # points of each domain; more would hide one another, and make a file of megabytes
_MOST_NAMED = 12  # classes in the legend
_NAME_WIDTH = 16
_STYLE = {"svg.hashsalt": "domains", "svg.fonttype": "path", "text.parse_math": False}


class Place(NamedTuple):
    """The features of both domains at one moment.

    Args:
        source (`np.ndarray` of shape `(n_s, width)`), target (`np.ndarray` of shape `(n_t, width)`).
        source_labels (`np.ndarray` of shape `(n_s,)`): class ids.
    """

    source: np.ndarray
    source_labels: np.ndarray
    target: np.ndarray


def draw_domains(places: Mapping[str, Place], path: str | Path, classes: Sequence[str] | None = None) -> None:
    """Draw one panel for each place, side by side: source rows coloured by class, target rows grey rings. The axes are
    the first two principal components of both domains together, each domain counting the same number of rows.

    Of more than 1,000 rows of a domain, as many at equal steps are drawn. The same features give the same file.

    Args:
        places (`Mapping[str, Place]`): by title, such as "before" and "after".
        path (`str` or `Path`): the SVG file.
        classes (`Sequence[str]`, *optional*): names of the classes, for the legend; by default their numbers.

    Raises:
        `UserError`: nothing to draw, or features that do not fit each other.
    """
    if not places:
        raise UserError("there are no features to draw; give at least one place")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(4.2 * len(places) + 1.2, 4))
        figure.subplots_adjust(left=0.02, right=1 - 1.3 / figure.get_figwidth(), bottom=0.03, top=0.91, wspace=0.05)
        panels = figure.subplots(1, len(places), squeeze=False)[0]
        for axes, (title, place) in zip(panels, places.items(), strict=True):
            _panel(axes, title, place)
        labels = np.unique(np.concatenate([place.source_labels for place in places.values()])).astype(int)
        _legend(figure, labels[:_MOST_NAMED], len(labels), classes)
        figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})


def two_dimensions(source, target) -> tuple[np.ndarray, np.ndarray]:
    """Return both domains on the first two principal components of them together (Pearson 1901), of shape `(rows, 2)`
    each, of at most 1,000 rows of each domain. The sign of a component is that of its largest entry."""
    source, target = (rows[_steps(len(rows))] for rows in checked(source, target))
    # A domain with fewer rows counts as much as the other.
    centre = (source.mean(0) + target.mean(0)) / 2
    parts = [(rows - centre) / np.sqrt(len(rows)) for rows in (source, target)]
    _, _, axes = np.linalg.svd(np.concatenate(parts), full_matrices=False)
    axes = axes[:2] * np.sign(axes[np.arange(len(axes[:2])), np.abs(axes[:2]).argmax(1)])[:, None]
    found = [(rows - centre) @ axes.T for rows in (source, target)]
    return tuple(np.pad(rows, ((0, 0), (0, 2 - rows.shape[1]))) for rows in found)


def _steps(count: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(MOST, count)).astype(np.int64)


def _panel(axes, title: str, place: Place) -> None:
    source, target = two_dimensions(place.source, place.target)
    colours = [_colour(label) for label in np.asarray(place.source_labels)[_steps(len(place.source_labels))]]
    axes.scatter(*target.T, s=12, facecolors="none", edgecolors="0.45", linewidths=0.5, zorder=1)
    axes.scatter(*source.T, s=7, c=colours, linewidths=0, alpha=0.8, zorder=2)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("0.7")


def _legend(figure, labels, count: int, classes: Sequence[str] | None) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.lines import Line2D

    names = [str(label) if classes is None else one_line(classes[label], _NAME_WIDTH) for label in labels]
    font = font_for(names)
    if font is None:
        names, font = [str(label + 1) for label in labels], FontProperties(family="DejaVu Sans")
    font = font.copy()
    font.set_size(8)
    dot = dict(linestyle="none", marker="o", markersize=4, markeredgewidth=0.6)
    marks = [Line2D([], [], **dot, markerfacecolor="none", markeredgecolor="0.45", label="target")]
    marks += [
        Line2D([], [], **dot, color=_colour(label), label=f"source: {name}")
        for label, name in zip(labels, names, strict=True)
    ]
    if count > len(labels):
        marks.append(Line2D([], [], linestyle="none", label=f"and {count - len(labels)} more"))
    figure.legend(handles=marks, loc="center right", prop=font, frameon=False, handletextpad=0.2, borderaxespad=0.3)


def _colour(label: int):
    from matplotlib import colormaps

    return colormaps["tab20" if label >= 10 else "tab10"](int(label) % 20)
