"""From cells to figures: means, spreads, paired differences with intervals, and who wins where."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from .methods import BASELINE, METHODS, SETS, SIZES


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences over the draws.

    Args:
        mean, low, high (`float`): in the metric's own units; the ends are those of Student's 95% interval.
    """

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`"better"` or `"worse"` where the interval leaves 0 out, else `"undecided"`."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "undecided"


def paired(ours: Mapping[int, float], others: Mapping[int, float]) -> Difference | None:
    """Compare two methods on the draws that both were measured on; `None` with fewer than two.

    The interval is mean +- t(0.975, n - 1) * s / sqrt(n), s the standard deviation of the n differences. It speaks of
    other draws of train rows and other training seeds, on these test rows.

    Args:
        ours, others (`Mapping[int, float]`): score by seed.
    """
    from scipy.stats import t

    seeds = sorted(ours.keys() & others.keys())
    if len(seeds) < 2:
        return None
    values = [ours[seed] - others[seed] for seed in seeds]
    mean = statistics.fmean(values)
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return Difference(mean, mean - half, mean + half)


def cells_of(content: Mapping, kind: str, method: str, size) -> dict[int, dict]:
    """Return a method's cells on a set and size, by seed; none of a draw that lacks some method of the set."""
    by_method: dict[str, dict[int, dict]] = {}
    for place, cell in content["cells"].items():
        of_kind, of_method, of_size, seed = place.split("/")
        if of_kind == kind:
            there = by_method.setdefault(of_method, {})
            there |= {int(seed): cell} if of_size == str(size) else {}
    complete = set.intersection(*map(set, by_method.values())) if by_method else set()
    return {seed: by_method[method][seed] for seed in sorted(complete)} if method in by_method else {}


def scores(content: Mapping, kind: str, method: str, size, metric: str) -> dict[int, float]:
    """Return a method's test scores by seed."""
    return {seed: cell["test"][metric] for seed, cell in cells_of(content, kind, method, size).items()}


def measured(content: Mapping, kind: str) -> tuple[list[str], list]:
    """Return the methods and the sizes of a set that have a cell, in their order."""
    found = [(name, size) for name in METHODS for size in SIZES if cells_of(content, kind, name, size)]
    methods, sizes = {name for name, _ in found}, {size for _, size in found}
    return [name for name in METHODS if name in methods], [size for size in SIZES if size in sizes]


def machines(content: Mapping) -> dict[str, list[tuple]]:
    """Return, by what is to be said of a machine, the `(set, size)` that have a cell from there."""
    found: dict[str, list[tuple]] = {}
    for kind, size in product(SETS, SIZES):
        for cell in (cell for name in METHODS for cell in cells_of(content, kind, name, size).values()):
            places = found.setdefault(machine(cell), [])
            places += [] if (kind, size) in places else [(kind, size)]
    return found


def machine(cell: Mapping) -> str:
    """Return what is to be said of the machine that measured a cell."""
    facts = cell["environment"]
    threads = f"{facts['threads']} thread{'' if facts['threads'] == 1 else 's'}"
    return (
        f"{facts['device_name']} ({facts['device']}), {facts['cores']} cores, {threads}; torch {facts['torch']}, "
        f"transformers {facts['transformers']}, timm {facts['timm']}"
    )


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation of the sample; no deviation of a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class Column:
    """What is to be said of one set and size.

    Args:
        best (`str`): the method with the highest mean.
        mean (`float`): its mean.
        level (`list[str]`): methods that cannot be told from the best: the interval of the difference holds 0.
        against (`dict[str, Difference]`): by method, how it differs from the linear probe.
    """

    best: str
    mean: float
    level: list[str]
    against: dict[str, Difference]


def column(content: Mapping, kind: str, size, metric: str = "accuracy") -> Column | None:
    """Judge the methods on one set and size; `None` where nothing was measured."""
    found = {name: scores(content, kind, name, size, metric) for name in METHODS}
    found = {name: values for name, values in found.items() if values}
    if not found:
        return None
    means = {name: statistics.fmean(values.values()) for name, values in found.items()}
    best = max(means, key=means.get)
    from_best = {name: paired(values, found[best]) for name, values in found.items() if name != best}
    level = [name for name, one in from_best.items() if one is None or one.verdict == "undecided"]
    against = {name: paired(values, found.get(BASELINE, {})) for name, values in found.items() if name != BASELINE}
    return Column(best, means[best], level, {name: one for name, one in against.items() if one is not None})
