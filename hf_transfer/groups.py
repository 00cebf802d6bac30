"""The optimizer's parameter groups: what learns how fast, and from when.

The groups hold everything that ever moves from the first step on, in a constant order: an optimizer that is resumed
must find the groups it was saved with (huggingface/peft#859), and `Trainer` leaves out what does not require a
gradient at the moment it builds one.
"""

from collections.abc import Collection, Mapping
from typing import Any


def parameter_groups(
    model, depths: Mapping[str, int], strategy, learning_rate: float, weight_decay: float, decayed: Collection[str]
) -> list[dict[str, Any]]:
    """Return the groups, the head's first.

    Args:
        model (`nn.Module`): as `strategy.prepare` returned it.
        depths (`Mapping[str, int]`): of every parameter name.
        learning_rate (`float`): the head's; `strategy.rate` scales it down the depths.
        weight_decay (`float`): for the names in `decayed`; all others have none, and of 0 nobody has any.

    Returns:
        `list[dict]`: `params`, `lr` and `weight_decay` for the optimizer, and `name`, `depths` `(lowest, highest)` and
        `from_epoch` for people.
    """
    top = max(depths.values())
    members: dict[tuple, list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = depths[name]
            decays = name in decayed or not weight_decay
            key = (strategy.from_epoch(depth, top), strategy.rate(depth, top), decays)
            members.setdefault(key, []).append((depth, parameter))
    groups = []
    # The first to move come first, of those the fastest: the head's rate is the one that is logged.
    for (epoch, rate, decays), found in sorted(
        members.items(), key=lambda one: (one[0][0], -one[0][1], not one[0][2])
    ):
        lowest, highest = min(depth for depth, _ in found), max(depth for depth, _ in found)
        groups.append(
            {
                "params": [parameter for _, parameter in found],
                "lr": learning_rate * rate,
                "weight_decay": weight_decay if decays else 0.0,
                "name": f"{span_of_depths(lowest, highest, top)}{'' if decays else ', no weight decay'}",
                "depths": (lowest, highest),
                "from_epoch": epoch,
            }
        )
    return groups


def span_of_depths(lowest: int, highest: int, top: int) -> str:
    """Name depths in words: `embeddings`, `block 3`, `blocks 1 to 6`, `head`, `blocks 5 to 6 and head`."""

    def one(depth: int) -> str:
        return "head" if depth == top else "embeddings" if depth == 0 else f"block {depth}"

    if lowest == highest:
        return one(lowest)
    first, last = max(lowest, 1), min(highest, top - 1)
    parts = ["embeddings"] if lowest == 0 else []
    if first <= last:
        parts.append(f"block {first}" if first == last else f"blocks {first} to {last}")
    if highest == top:
        parts.append("head")
    return " and ".join(parts) if len(parts) < 3 else f"{parts[0]}, {parts[1]} and {parts[2]}"


def group_lines(groups: list[dict[str, Any]], steps_per_epoch: int) -> list[str]:
    """Return the table of groups as lines of text: name, parameters, learning rate, first step."""
    rows = [
        (
            group["name"],
            f"{sum(parameter.numel() for parameter in group['params']):,}",
            f"{group['lr']:.3g}",
            f"step {group['from_epoch'] * steps_per_epoch + 1:,}",
        )
        for group in groups
    ]
    rows.insert(0, ("parameters", "count", "lr", "from"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:<{widths[3]}}".rstrip()
        for row in rows
    ]
