"""Batches that waste no padding: rows of like length together, filled to a number of tokens."""

from collections.abc import Iterator, Sequence

TOKENS_PER_BATCH = 4096  # what a two-core CPU's cache holds for a 384-wide encoder; larger batches are slower again
ROWS_PER_BATCH = 256


def by_length(lengths: Sequence[int], tokens: int = TOKENS_PER_BATCH, rows: int = ROWS_PER_BATCH) -> list[list[int]]:
    """Group row numbers into batches, longest rows first.

    Args:
        lengths (`Sequence[int]`): tokens in each row.
        tokens (`int`): most tokens, padding included, in one batch; a longer row gets a batch of its own.
        rows (`int`): most rows in one batch.

    Returns:
        `list[list[int]]`: every row number once.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batches, batch = [], []
    for row in order:
        longest = lengths[batch[0]] if batch else lengths[row]
        if batch and (len(batch) == rows or longest * (len(batch) + 1) > tokens):
            batches.append(batch)
            batch = []
        batch.append(row)
    return batches + [batch] if batch else batches


def in_order(count: int, rows: int) -> Iterator[list[int]]:
    """Group row numbers 0 to `count` - 1 into batches of `rows`."""
    for start in range(0, count, rows):
        yield list(range(start, min(start + rows, count)))
