"""Cutting splits and keeping them apart: pure functions of content keys, classes and the split seed.

No random generator and no row order is involved, so every machine and every rank cuts the same rows, and a shuffled
copy of a file is cut alike.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from ..errors import UserError


def cut(
    keys: Sequence[bytes],
    classes: Sequence[str] | None,
    fractions: dict[str, float],
    seed: int,
    where: str,
) -> dict[str, np.ndarray]:
    """Cut splits off a list of rows.

    Args:
        keys (`Sequence[bytes]`): content key per row.
        classes (`Sequence[str]`): class per row, each of which is cut alike; none cuts all rows as one.
        fractions (`dict[str, float]`): name of each split to cut and its share of the rows, the first cut first.
        seed (`int`): the split seed.
        where (`str`): the rows' file, for messages.

    Returns:
        `dict[str, np.ndarray]`: positions of the rows per split, ascending, with the rest under `train`. Every class
        has at least one row in each.

    Raises:
        `UserError`: a class has fewer rows than there are splits.
    """
    members = defaultdict(list)
    seen = Counter()
    for position, key in enumerate(keys):
        group = "" if classes is None else classes[position]
        # equal rows are told apart by their count, or they would all land on the same side
        members[group].append((_rank(seed, key, seen[group, key]), position))
        seen[group, key] += 1
    parts = {name: [] for name in ("train", *fractions)}
    for group in sorted(members):
        rows = [position for _, position in sorted(members[group])]
        needed = len(fractions) + 1
        if len(rows) < needed:
            whose = "it" if classes is None else f"class {group!r}"
            raise UserError(
                f"{where}: {whose} has {len(rows)} row{'s' * (len(rows) != 1)} and needs at least {needed}: one each "
                f"for {', '.join(parts)}"
            )
        start = 0
        for left, (name, fraction) in zip(range(len(fractions), 0, -1), fractions.items(), strict=True):
            # at least one row, and as many left over as there are splits to come, train included
            size = min(max(1, round(len(rows) * fraction)), len(rows) - start - left)
            parts[name].extend(rows[start : start + size])
            start += size
        parts["train"].extend(rows[start:])
    return {name: np.array(sorted(rows), dtype=np.int64) for name, rows in parts.items()}


def few_of_each(keys: Sequence[bytes], classes: Sequence[int], count: int, seed: int) -> np.ndarray:
    """Draw rows of each class; fewer where a class has no more.

    What is drawn for a smaller `count` is among what is drawn for a larger one. Rows of equal content come last: eight
    rows should be eight texts.

    Args:
        keys (`Sequence[bytes]`): content key per row.
        classes (`Sequence[int]`): class per row.
        count (`int`): rows of each class.
        seed (`int`): the split seed.

    Returns:
        `np.ndarray`: positions of the rows, ascending.
    """
    members, seen = defaultdict(list), Counter()
    for position, (key, group) in enumerate(zip(keys, classes, strict=True)):
        members[group].append((seen[group, key], _rank(seed, key, seen[group, key]), position))
        seen[group, key] += 1
    drawn = [position for rows in members.values() for *_, position in sorted(rows)[:count]]
    return np.array(sorted(drawn), dtype=np.int64)


def without(rows: np.ndarray, keys: Sequence[bytes], held_out: set[bytes]) -> np.ndarray:
    """`rows` less those whose content is in `held_out`."""
    return np.array([i for i in rows if keys[i] not in held_out], dtype=np.int64)


def same_content(first: Sequence[bytes], second: Sequence[bytes]) -> bool:
    """Whether two splits hold the same rows, in whatever order."""
    return len(first) == len(second) and Counter(first) == Counter(second)


def _rank(seed: int, key: bytes, occurrence: int) -> bytes:
    return blake2b(b"%d/%b/%d" % (seed, key, occurrence), digest_size=16).digest()
