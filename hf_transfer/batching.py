"""Batches that waste no padding: rows of one length together, filled to a number of tokens or pixels.

The budgets are fixed per kind of device, from benchmarks/budgets.py: timing at run time must never decide what is
computed together unasked, since bf16 outputs move a little with their batch. `--probe_budget` asks for it.
"""

from collections.abc import Sequence

TOKENS = {"cpu": 4096, "cuda": 65_536}  # larger ones leave a two-core CPU's cache; the CUDA figure is not measured yet
PIXELS = {"cpu": 200_000, "cuda": 12_000_000}
BUDGETS = {"tokens": TOKENS, "pixels": PIXELS}
ROWS = 512


def by_length(lengths: Sequence[int], device: str = "cpu", budget: int | None = None) -> list[list[int]]:
    """Group row numbers into batches, longest rows first.

    A batch ends where the length changes, once it holds an eighth of the budget: rows of exactly one length need no
    padding and no attention mask, which makes attention on a CPU a third faster than a batch that is merely sorted.

    Args:
        lengths (`Sequence[int]`): tokens in each row.
        device (`str`): kind of device; an unknown one gets the CPU's budget.
        budget (`int`, *optional*): tokens in a batch; by default the device's.

    Returns:
        `list[list[int]]`: every row number once. No batch has more tokens, padding included, than the budget, except
        for a single row that is longer.
    """
    budget = TOKENS.get(device, TOKENS["cpu"]) if budget is None else budget
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batches, batch = [], []
    for row in order:
        longest = lengths[batch[0]] if batch else 0
        full = len(batch) == ROWS or longest * (len(batch) + 1) > budget
        shorter = lengths[row] < longest and longest * len(batch) >= budget // 8
        if batch and (full or shorter):
            batches.append(batch)
            batch = []
        batch.append(row)
    return batches + [batch] if batch else batches


def by_pixels(count: int, pixels: int, device: str = "cpu", budget: int | None = None) -> list[list[int]]:
    """Group row numbers 0 to `count` - 1, in order, into batches of images of `pixels` pixels each; a batch holds
    `budget` pixels, by default the device's."""
    budget = PIXELS.get(device, PIXELS["cpu"]) if budget is None else budget
    return in_order(count, max(1, budget // pixels))


def in_order(count: int, rows: int) -> list[list[int]]:
    """Group row numbers 0 to `count` - 1 into batches of `rows`."""
    return [list(range(start, min(start + rows, count))) for start in range(0, count, rows)]
