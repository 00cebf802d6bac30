"""What a result says of two domains, as text: for the screen and for the card."""

from collections.abc import Mapping

from .results import number, one_line, title

NAMES = {"source_only": "source alone", "target_only": "target labels alone", "model": "this model"}
CHOSEN_BY = {
    "source": "validation rows of the source; no target label was read to choose it",
    "weighted": "weighted validation rows of the source; no target label was read to choose it",
    "target": "labelled target rows that were held out",
}
SHOWN_ROWS, BAR = 10, 30


def score_rows(domains: Mapping) -> list[list[str]]:
    """Return the scores of every model on both domains, as text."""
    name = next(iter(next(iter(domains["scores"]["model"].values()))))
    shown = [metric for metric in (name, "macro_f1") if metric in domains["scores"]["model"]["source"]]
    places = list(domains["scores"]["model"])
    rows = [["domain test rows", *(f"{place} {title(metric)}" for place in places for metric in shown)]]
    for model in ("source_only", "model", "target_only"):
        if model in domains["scores"]:
            scores = domains["scores"][model]
            rows.append([NAMES[model], *(number(scores[place].get(metric)) for place in places for metric in shown)])
    return rows


def weighting_lines(weighting: Mapping | None, shown: Mapping[str, list[str]]) -> list[str]:
    """Return what the weights of the source rows are like: how many rows they stand for, a histogram, extremes.

    Args:
        shown (`Mapping[str, list[str]]`): the heaviest and lightest rows in words; empty for none.
    """
    if not weighting:
        return []
    size, count = weighting["effective_sample_size"], weighting["rows"]
    lines = [f"weights      {weighting['kind']}: worth {size:.0f} rows of equal weight, of {count}"]
    most = max(count for *_, count in weighting["histogram"])
    for low, high, count in weighting["histogram"]:
        lines.append(f"  {low:8.3f} to {high:8.3f}  {'#' * -(-BAR * count // most):<{BAR}} {count}")
    for kind in shown:
        lines.append(f"  {kind}")
        pairs = zip(weighting[kind], shown[kind], strict=True)
        lines += [f"    {weight:8.3f}  {one_line(words, 60)}" for (_, weight), words in list(pairs)[:SHOWN_ROWS]]
    return lines
