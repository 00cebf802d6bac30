"""The plot: accuracy against labels per class, told apart by colour, marker and line, so that grey print will do."""

from collections.abc import Mapping
from pathlib import Path

from .methods import METHODS, SETS
from .summary import cells_of, measured, spread

# Okabe and Ito's colours; markers and lines say the same without colour.
STYLES = {
    "linear_probe": ("#000000", "o", "-"),
    "frozen_head": ("#56b4e9", "s", "-"),
    "full": ("#d55e00", "^", "-"),
    "lp_ft": ("#e69f00", "v", "--"),
    "gradual": ("#009e73", "D", "--"),
    "l2_sp": ("#cc79a7", "P", ":"),
    "lora": ("#0072b2", "X", "-."),
    "few_shot": ("#7f7f7f", "*", (0, (1, 1))),
}
TICKS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
CLASSES = {"text": 2, "image": 10}
TITLES = {"text": "texts (SMS Spam)", "image": "images (MNIST)"}


def draw_plot(content: Mapping, path: Path) -> None:
    """Draw one panel per set; bars are the standard deviation over the draws."""
    import matplotlib

    matplotlib.use("Agg")
    # The same figures give the same file; text stays text, which keeps it small.
    matplotlib.rcParams.update({"svg.hashsalt": "strategies", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    kinds = [kind for kind in SETS if measured(content, kind)[0]]
    figure, panels = pyplot.subplots(1, len(kinds), figsize=(5 * len(kinds), 4.6), layout="constrained", squeeze=False)
    for axes, kind in zip(panels[0], kinds, strict=True):
        _panel(axes, content, kind)
    seen = {}
    for axes in panels[0]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    figure.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _panel(axes, content: Mapping, kind: str) -> None:
    import numpy as np

    # Errors halve again and again: what is left to 1 is drawn on a logarithmic scale.
    axes.set_yscale(
        "function", functions=(lambda y: -np.log10(np.maximum(1 - y, 1e-4)), lambda value: 1 - 10.0**-value)
    )
    methods, sizes = measured(content, kind)
    places = {}
    for number, name in enumerate(methods):
        points = []
        for size in sizes:
            found = list(cells_of(content, kind, name, size).values())
            if not found:
                continue
            places[size] = found[0]["rows"]["train"] / CLASSES[kind]
            # A little apart, so that the bars of several methods are seen.
            shifted = places[size] * 1.05 ** (number - len(methods) / 2)
            mean, std = spread([cell["test"]["accuracy"] for cell in found])
            points.append((shifted, mean, std or 0.0))
        x, y, bars = zip(*points, strict=True)
        colour, marker, line = STYLES[name]
        axes.errorbar(
            x, y, yerr=bars, color=colour, marker=marker, linestyle=line, markersize=5, linewidth=1.3,
            elinewidth=0.8, capsize=2, label=METHODS[name].title,
        )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in TICKS if low <= tick <= high])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(_none())
    axes.set_xscale("log")
    axes.set_xticks(list(places.values()), ["all" if size == "all" else str(size) for size in places])
    axes.xaxis.set_minor_locator(_none())
    axes.set(title=TITLES[kind], xlabel="labels per class", ylabel="test accuracy")
    axes.grid(alpha=0.3)


def _none():
    from matplotlib.ticker import NullLocator

    return NullLocator()
