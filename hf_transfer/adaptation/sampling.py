"""Which rows of two domains make up each training batch, on one rank or on several."""

from collections.abc import Iterator, Sequence

import torch

from ..sampling import GlobalBatches


class DomainBatches(GlobalBatches):
    """As many source rows as target rows in each batch.

    An epoch sees every source row once. The target rows of a pool come in turns of their own: each is seen once before
    any is seen again, from one epoch to the next too. Depends on seed and epoch alone.

    Args:
        source (`int`): source rows; they are the first of the data set.
        pools (`Sequence[Sequence[int]]`): target rows by their places in the data set, in pools that get equal shares
            of a batch's target rows, such as those with a label and those without.
        batch_size (`int`): rows of one micro-batch on one rank, of both domains together.
        ranks, rank, order, seed, drop_last: see [`GlobalBatches`].
    """

    def __init__(self, source: int, pools: Sequence[Sequence[int]], batch_size: int, **settings):
        super().__init__(source, max(1, batch_size // 2), **settings)
        self.pools = [torch.as_tensor(pool, dtype=torch.int64) for pool in pools]

    def __iter__(self) -> Iterator[list[int]]:
        for parts in self.plan_parts():
            yield [row for part in parts for row in part[self.rank :: self.ranks].tolist()]

    def plan_parts(self) -> Iterator[list[torch.Tensor]]:
        """Yield each global batch of this epoch: source rows, then those of each pool."""
        sizes = [self._shares(size) for size in self.sizes]
        per_epoch = [sum(of_batch) for of_batch in zip(*sizes, strict=True)]
        drawn = [self._turns(number, count) for number, count in enumerate(per_epoch)]
        starts = [0] * len(self.pools)
        for source, shares in zip(self.plan(), sizes, strict=True):
            target = []
            for number, share in enumerate(shares):
                target.append(drawn[number][starts[number] : starts[number] + share])
                starts[number] += share
            yield [source, *target]

    def _shares(self, size: int) -> list[int]:
        """How many rows of each pool go with `size` source rows; each rank gets one at least."""
        return [max(self.ranks, len(range(number, size, len(self.pools)))) for number in range(len(self.pools))]

    def _turns(self, number: int, count: int) -> torch.Tensor:
        """The rows of a pool that this epoch sees: the next `count` of its turns."""
        pool = self.pools[number]
        first = self.epoch * count
        turns = range(first // len(pool), -(-(first + count) // len(pool)))
        order = torch.cat([pool[self._turn(number, turn, len(pool))] for turn in turns])
        return order[first % len(pool) :][:count]

    def _turn(self, number: int, turn: int, rows: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + turn) * 7 + number + 1)
        return torch.randperm(rows, generator=generator) if self.shuffled else torch.arange(rows)
