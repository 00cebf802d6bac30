"""What a run of two domains says: before it starts, and at its end."""

from collections.abc import Mapping

from ..domain_results import CHOSEN_BY, score_rows, weighting_lines
from ..results import align


def domain_lines(opened) -> list[str]:
    """Return the lines that tell how the two domains are used."""
    data, domains = opened.recipe.data, opened.splits
    known = len(domains.labelled)
    read = f"{known} of them with a label that is read" if known else "no label of theirs is read"
    lines = [f"  target     {len(domains.target)} rows to learn from, {read}"]
    if data.weights is not None:
        lines.append(f"  weights    {type(data.weights).__name__}, of the source's rows")
    if data.align != "none":
        lines.append(f"  align      {data.align}: source features are moved onto the target's")
    if data.adapt_batch_norm:
        lines.append("  BatchNorm  statistics per domain; the model keeps the target's")
    return lines


def lines_of(domains: Mapping, shown: Mapping[str, list[str]]) -> list[str]:
    """Return the lines a run ends with.

    Args:
        domains (`Mapping`): as in results.json.
        shown (`Mapping[str, list[str]]`): the heaviest and lightest rows in words, where rows were weighed.
    """
    lines = [align(score_rows(domains)), "", f"chosen by    {CHOSEN_BY[domains['selection']]}"]
    distances = domains.get("a_distance") or {}
    if distances:
        told = ", ".join(f"{value:.2f} {when}" for when, value in distances.items())
        lines.append(f"A-distance   {told} (0: a classifier cannot tell the domains apart; 2: it always can)")
    if domains.get("picture"):
        when = ", before and after" if "after" in distances else ""
        lines.append(f"picture      {domains['picture']}, both domains in two dimensions" + when)
    lines += weighting_lines(domains.get("weighting"), shown)
    if "verdict" in domains:
        lines.append(domains["verdict"]["text"])
    return lines
