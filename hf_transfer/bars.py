"""Progress bars: items per second and time left, redrawn often on a terminal and seldom in a log."""

import sys

from tqdm.auto import tqdm


def bar(total: int, name: str, unit: str, hidden: bool = False) -> tqdm:
    """Return a `tqdm` bar on standard error.

    Args:
        total (`int`): items to come.
        name (`str`): what is under way.
        unit (`str`): what is counted.
        hidden (`bool`): count without showing.
    """
    often = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=name,
        unit=unit,
        mininterval=0.5 if often else 15,
        maxinterval=30,
        disable=hidden,
        file=sys.stderr,
    )
