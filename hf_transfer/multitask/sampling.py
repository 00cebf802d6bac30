"""Which task and which rows each step of a mixture is of."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch.utils.data import Sampler

from ..errors import UserError
from ..sampling import GlobalBatches


def steps_of_tasks(steps: Sequence[int], rows: Sequence[int], sampling: str, temperature: float | None) -> list[int]:
    """Share the steps of an epoch out among the tasks.

    An epoch has as many steps as it takes to see every row of every task once. Under `"proportional"` each task gets
    its own; under `"uniform"` all get the same number; under `"temperature"` task t gets a share of
    n_t ** (1 / T) / sum_u n_u ** (1 / T), n_t its rows (Devlin et al. 2018's exponentially smoothed weighting, Raffel
    et al. 2020, section 3.5.2). Fractions of a step go to the tasks with the largest ones; each gets at least one.

    Args:
        steps (`Sequence[int]`): steps that each task needs to see its rows once.
        rows (`Sequence[int]`): rows of each task.
        sampling (`str`), temperature (`float`): see [`TaskMixture`].
    """
    if sampling == "proportional":
        return list(steps)
    power = 0.0 if sampling == "uniform" else 1 / temperature
    total, shares = sum(steps), [count**power for count in rows]
    wanted = [total * share / sum(shares) for share in shares]
    result = [max(1, int(value)) for value in wanted]
    by_rest = sorted(range(len(steps)), key=lambda number: (-(wanted[number] % 1), number))
    for number in by_rest:
        if sum(result) < total:
            result[number] += 1
    return result


class MixtureBatches(Sampler[list[int]]):
    """Batch sampler over the joined rows of several tasks: each step is of one task, the same on every rank.

    The order of the tasks is shuffled anew in each epoch. A task that comes more or less often than its rows are many
    goes through them in its own order, pass after pass: what one epoch has left comes in the next. All follows from
    seed and epoch alone, so that a resumed epoch goes on where it was.

    All micro-batches of a step (gradient accumulation) are of its one task: the step's loss is a mean over rows of
    it, and 4 times 8 rows give what 32 give.

    Args:
        rows (`Mapping[str, int]`): of each task, in the order in which they are joined.
        batch_size (`int`): rows of one micro-batch on one rank.
        accumulation (`int`): micro-batches of a step.
        sampling (`str`), temperature (`float`, *optional*): see [`TaskMixture`].
        lengths (`Mapping[str, Sequence[int]]`): of each task's rows, or none.
        ranks, rank, order, seed, drop_last: see [`GlobalBatches`].

    Raises:
        `UserError`: a task has too few rows for a step.
    """

    def __init__(
        self,
        rows: Mapping[str, int],
        batch_size: int,
        accumulation: int = 1,
        sampling: str = "proportional",
        temperature: float | None = None,
        lengths: Mapping[str, Sequence[int] | None] | None = None,
        ranks: int = 1,
        rank: int = 0,
        order: str = "random",
        seed: int = 0,
        drop_last: bool = False,
    ):
        self.names, self.accumulation, self.ranks, self.rank = list(rows), accumulation, ranks, rank
        self.seed, self.epoch, parts = seed, 0, accumulation * ranks
        for name, count in rows.items():
            least = batch_size * parts if drop_last else parts
            if count < least:
                raise UserError(
                    f"task {name} has {count} train rows and a step needs {least} (gradient_accumulation_steps "
                    f"{accumulation} on {ranks} process{'es' if ranks > 1 else ''}"
                    f"{', dataloader_drop_last' if drop_last else ''}); lower them, or give it more rows"
                )
        # One rank's micro-batch is a share of the step, as one rank's batch is of a global batch.
        self.streams = [
            GlobalBatches(
                count,
                batch_size,
                ranks=parts,
                order=order,
                lengths=None if lengths is None else lengths[name],
                seed=seed,
                drop_last=drop_last,
            )
            for name, count in rows.items()
        ]
        ends = torch.tensor(list(rows.values())).cumsum(0).tolist()
        self.starts = [0, *ends[:-1]]
        own = [len(stream) for stream in self.streams]
        self.steps = steps_of_tasks(own, list(rows.values()), sampling, temperature)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration follows."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(self.steps) * self.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        parts = self.accumulation * self.ranks
        coming = [self._batches(number) for number in range(len(self.names))]
        for number in self._tasks():
            batch = next(coming[number]) + self.starts[number]
            for micro in range(self.accumulation):
                yield batch[micro * self.ranks + self.rank :: parts].tolist()

    def _tasks(self) -> list[int]:
        """Return the task of each step of this epoch."""
        tasks = torch.arange(len(self.steps)).repeat_interleave(torch.tensor(self.steps))
        # Another stream of numbers than the rows', which start from seed * 1_000_003 + epoch.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch + 500_000)
        return tasks[torch.randperm(len(tasks), generator=generator)].tolist()

    def _batches(self, number: int) -> Iterator[torch.Tensor]:
        """Yield the batches of one task from where the epochs before have left off."""
        stream, place = self.streams[number], self.epoch * self.steps[number]
        while True:
            stream.set_epoch(place // len(stream))
            for batch in list(stream.plan())[place % len(stream) :]:
                yield batch
                place += 1
