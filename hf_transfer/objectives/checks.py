"""Checks that objectives share."""

from ..errors import UserError


def not_negative(objective, *fields: str) -> None:
    """Refuse fields that are no finite number of at least 0.

    Raises:
        `UserError`: the first of them, with its value.
    """
    for field in fields:
        value = getattr(objective, field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise UserError(f"{type(objective).__name__}.{field} is {value!r}; allowed: a number of at least 0")


def at_least_one(objective, *fields: str) -> None:
    """Refuse fields that are no whole number of at least 1.

    Raises:
        `UserError`: the first of them, with its value.
    """
    for field in fields:
        value = getattr(objective, field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{type(objective).__name__}.{field} is {value!r}; allowed: a whole number from 1 on")
