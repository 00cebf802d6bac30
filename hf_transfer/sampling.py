"""Which rows make up each training batch, on one rank or on several."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from .errors import UserError

ORDERS = ("random", "sequential", "group_by_length")
BLOCK = 50  # batches whose rows are sorted by length together


class GlobalBatches(Sampler[list[int]]):
    """Batch sampler that plans the batches of all ranks at once and yields one rank's share of each.

    Every row is seen once per epoch; every rank yields as many batches as the others and none is empty. The rows of a
    global batch are shared out evenly, and the plan knows only their common number, `batch_size * ranks`: two ranks
    train on the same steps as one with twice the batch size. Where the rows do not divide, the batches differ by one
    row at most, and none is larger than asked for. (The exception: with `batch_size` 1 on several ranks a rest too
    small for one row each has to join other batches, so that some ranks get two rows.)

    The stock samplers draw from the global generator, which dropout moves differently on every CPU rank, and rely on
    Accelerate to deal batches out, which repeats rows to come out even. This one depends on seed and epoch alone.

    Args:
        rows (`int`): rows in the data set.
        batch_size (`int`): rows of one micro-batch on one rank.
        ranks (`int`): number of processes.
        rank (`int`): this process.
        order (`str`): `"random"`; `"sequential"`, the order of the data set; or `"group_by_length"`: shuffled rows are
            sorted by length within blocks of 50 batches (smaller ones where there would be fewer than four blocks,
            or each epoch would see the same batches again), and the batches are shuffled afterwards, since an order
            that runs from short to long is a biased one.
        lengths (`Sequence[int]`, *optional*): tokens in each row, for `"group_by_length"`. Without them all rows are
            as long as the next, and the order is `"random"`.
        seed (`int`): the run's seed.
        drop_last (`bool`): leave out the rows that do not fill a global batch, other ones in every epoch.

    Raises:
        `UserError`: fewer rows than ranks, or with `drop_last` fewer than one global batch.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        ranks: int = 1,
        rank: int = 0,
        order: str = "random",
        lengths: Sequence[int] | None = None,
        seed: int = 0,
        drop_last: bool = False,
    ):
        grouped = order == "group_by_length" and lengths is not None
        self.lengths = torch.tensor(lengths) if grouped else None
        self.shuffled = order != "sequential"
        self.rows, self.ranks, self.rank, self.seed, self.epoch = rows, ranks, rank, seed, 0
        self.sizes = _batch_sizes(rows, batch_size, ranks, drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration follows."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.plan():
            # Every n-th row: of a batch that is sorted by length, each rank gets as many long rows as the next.
            yield batch[self.rank :: self.ranks].tolist()

    def plan(self) -> Sequence[torch.Tensor]:
        """Return the rows of each global batch of this epoch."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.rows, generator=generator) if self.shuffled else torch.arange(self.rows)
        order = order[: sum(self.sizes)]
        if self.lengths is None:
            return order.split(self.sizes)
        batches = self._sorted_in_blocks(order).split(self.sizes)
        return [batches[number] for number in torch.randperm(len(batches), generator=generator)]

    def _sorted_in_blocks(self, order: torch.Tensor) -> torch.Tensor:
        sizes = torch.tensor(self.sizes)
        blocks = -(-len(sizes) // min(BLOCK, max(len(sizes) // 4, 1)))
        block = (torch.arange(len(sizes)) * blocks // len(sizes)).repeat_interleave(sizes)
        # One sort for all blocks; it is stable, so rows of the same length stay shuffled.
        keys = block * (self.lengths.max() + 1) + self.lengths[order]
        return order[keys.argsort(stable=True)]


def _batch_sizes(rows: int, batch_size: int, ranks: int, drop_last: bool) -> list[int]:
    """Return the number of rows in each global batch."""
    size = batch_size * ranks
    if rows < ranks:
        raise UserError(
            f"train has {rows} rows for {ranks} processes, and each needs a row at every step; start at most "
            f"{rows} processes, or give more rows"
        )
    if drop_last and rows < size:
        raise UserError(
            f"train has {rows} rows, fewer than one batch of per_device_train_batch_size {batch_size} on {ranks} "
            f"process{'es' if ranks > 1 else ''}, and dataloader_drop_last leaves such a batch out; lower "
            "per_device_train_batch_size, or set dataloader_drop_last to false"
        )
    if drop_last:
        return [size] * (rows // size)
    count = -(-rows // size)
    if rows // count < ranks:  # only with one row per rank
        count = rows // size
    share, rest = divmod(rows, count)
    return [share + 1] * rest + [share] * (count - rest)
