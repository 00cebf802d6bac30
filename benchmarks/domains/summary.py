"""From cells to what is to be said: means over the seeds, choices without target labels, shares of the gap closed."""

import statistics
from collections.abc import Mapping

from .pairs import NETS, PAIRS
from .trained import METHODS

REFERENCE = "target_only"
LEAST_GAP = 0.02  # between source-only and target-only; shares of a smaller one say nothing
READS_LABELS = ("target_only", "tradaboost")


def cells_of(content: Mapping, pair: str, net: str) -> dict[int, dict]:
    """Return the cells of a pair and a net by seed."""
    start = f"{pair}/{net}/"
    found = {int(name.rpartition("/")[2]): cell for name, cell in content["cells"].items() if name.startswith(start)}
    return dict(sorted(found.items()))


def measured(content: Mapping) -> list[tuple[str, str]]:
    """Return the pairs and nets that have a cell, in their order."""
    return [(pair, net) for pair in PAIRS for net in NETS if cells_of(content, pair, net)]


def accuracies(content: Mapping, pair: str, net: str, method: str) -> list[float]:
    """Return a method's target test accuracy by seed."""
    cells = cells_of(content, pair, net).values()
    return [cell["test"][method]["value"] for cell in cells if method in cell["test"]]


def source_only(content: Mapping, pair: str, net: str) -> float:
    """Return the mean accuracy of learning from the source alone: the better of the model as it was trained and of a
    layer fitted to its features, which is known from the target's test labels and so the harder baseline."""
    return max(statistics.fmean(accuracies(content, pair, net, name)) for name in ("as_trained", "source_only"))


def chosen(cell: Mapping, criterion: str) -> str:
    """Return the method with the highest criterion among those that read no target label."""
    names = [name for name in cell["criteria"] if name not in READS_LABELS]
    return max(names, key=lambda name: cell["criteria"][name][criterion])


def oracle(cell: Mapping) -> str:
    """Return the best method by the target's test labels, which nobody who adapts has."""
    names = [name for name in cell["criteria"] if name not in READS_LABELS]
    return max(names, key=lambda name: cell["test"][name]["value"])


def choice(content: Mapping, pair: str, net: str, pick) -> dict:
    """Say what the methods picked in each cell come to.

    Args:
        pick: a cell to the name of a method.

    Returns:
        `dict`: `names` by seed; mean `accuracy`; `closed`, the share of the gap between source-only and target-only
        (`None` where that is below `LEAST_GAP`); `verdicts`, how many seeds have each.
    """
    cells = cells_of(content, pair, net)
    names = {seed: pick(cell) for seed, cell in cells.items()}
    values = [cell["test"][names[seed]] for seed, cell in cells.items()]
    mean = statistics.fmean(one["value"] for one in values)
    verdicts = [one["verdict"] for one in values]
    return {
        "names": names,
        "accuracy": mean,
        "closed": share_closed(content, pair, net, mean),
        "verdicts": {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))},
    }


def share_closed(content: Mapping, pair: str, net: str, accuracy: float, base: float | None = None) -> float | None:
    """Return what share of the gap between source-only and target-only an accuracy closes; `None` where
    that is below `LEAST_GAP`.

    Args:
        base (`float`, *optional*): another baseline than [`source_only`].
    """
    best = accuracies(content, pair, net, REFERENCE)
    if not best:
        return None
    base = source_only(content, pair, net) if base is None else base
    gap = statistics.fmean(best) - base
    return (accuracy - base) / gap if gap >= LEAST_GAP else None


def trained_cells(content: Mapping, pair: str, reach: str) -> dict[str, dict[int, dict]]:
    """Return the cells of what was trained with a term, by method and seed."""
    found = {}
    for name, cell in content.get("trained", {}).items():
        of_pair, of_reach, seed, method = name.split("/")
        if (of_pair, of_reach) == (pair, reach):
            found.setdefault(method, {})[int(seed)] = cell
    order = [method for method in METHODS[reach] if method in found]
    return {method: dict(sorted(found[method].items())) for method in order}


def trained_choice(cells: Mapping[str, Mapping[int, dict]], criterion: str = "mutual_information") -> dict | None:
    """Say what choosing by a criterion comes to, over the seeds that every method was trained with.

    Returns:
        `dict`: `names` by seed, the mean `accuracy`, and `base`, that of the nets they went on from; `None` where no
        seed is whole.
    """
    seeds = sorted(set.intersection(*(set(one) for one in cells.values())))
    if not seeds:
        return None
    names = {seed: max(cells, key=lambda name: cells[name][seed]["criteria"][criterion]) for seed in seeds}
    tests = [cells[name][seed]["test"] for seed, name in names.items()]
    means = {name: statistics.fmean(one[name] for one in tests) for name in ("value", "baseline")}
    return {"names": names, "accuracy": means["value"], "base": means["baseline"]}
