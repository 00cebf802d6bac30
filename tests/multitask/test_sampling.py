"""Which task and which rows each step is of."""

from collections import Counter

import pytest

from hf_transfer import UserError
from hf_transfer.multitask.sampling import MixtureBatches, steps_of_tasks
from hf_transfer.sampling import GlobalBatches

ROWS = {"large": 101, "small": 13}


def tasks_of(batches: list[list[int]]) -> list[str]:
    """The task of each batch; all rows of a batch must be of one."""
    found = [{"large" if row < 101 else "small" for row in batch} for batch in batches]
    assert all(len(one) == 1 for one in found)
    return [one.pop() for one in found]


def epochs(count: int, **settings) -> list[list[list[int]]]:
    batches, result = MixtureBatches(ROWS, 8, **settings), []
    for epoch in range(count):
        batches.set_epoch(epoch)
        result.append(list(batches))
        assert len(result[-1]) == len(batches)
    return result


@pytest.mark.parametrize("accumulation", [1, 3])
def test_proportional_sees_every_row_of_every_task_once(accumulation):
    first, second = epochs(2, accumulation=accumulation)
    for one in (first, second):
        assert sorted(row for batch in one for row in batch) == list(range(114))
    assert first != second and tasks_of(first) != tasks_of(second)  # neither rows nor tasks come in the same order
    assert max(map(len, first)) <= 8


def test_the_ranks_take_one_task_each_step_and_share_its_rows():
    ranks = [epochs(1, ranks=2, rank=rank, accumulation=2)[0] for rank in (0, 1)]
    assert tasks_of(ranks[0]) == tasks_of(ranks[1])
    assert sorted(row for rank in ranks for batch in rank for row in batch) == list(range(114))


def test_the_micro_batches_of_a_step_are_of_one_task():
    found = tasks_of(epochs(1, accumulation=3)[0])
    assert all(len(set(found[step : step + 3])) == 1 for step in range(0, len(found), 3))


@pytest.mark.parametrize(
    ("sampling", "temperature", "expected"),
    [
        ("proportional", None, {"large": 13, "small": 2}),
        ("uniform", None, {"large": 8, "small": 7}),
        ("temperature", 1.0, {"large": 13, "small": 2}),  # 15 * 101 / 114 = 13.3
        ("temperature", 2.0, {"large": 11, "small": 4}),  # 15 * 10.05 / (10.05 + 3.61) = 11.04
        ("temperature", 1e9, {"large": 8, "small": 7}),
    ],
)
def test_an_epoch_has_as_many_steps_however_they_are_shared_out(sampling, temperature, expected):
    one = epochs(1, sampling=sampling, temperature=temperature)[0]
    assert Counter(tasks_of(one)) == expected


def test_every_task_gets_a_step():
    assert steps_of_tasks([1000, 1], [8000, 1], "temperature", 1.0)[1] == 1


def test_uniform_goes_through_the_rows_pass_after_pass():
    """The small task, 2 batches for its rows and 7 steps in each epoch, is seen seven times in two; of the large one,
    13 batches and 8 steps, the second epoch begins with what the first has left."""
    seen = [row for one in epochs(2, sampling="uniform") for batch in one for row in batch]
    counts = Counter(seen)
    assert {counts[row] for row in range(101, 114)} == {7}
    assert {counts[row] for row in range(101)} == {1, 2}


def test_a_mixture_of_one_task_is_that_task():
    alone, mixed = GlobalBatches(101, 8, seed=3), MixtureBatches({"only": 101}, 8, seed=3)
    for epoch in range(3):
        alone.set_epoch(epoch)
        mixed.set_epoch(epoch)
        assert list(mixed) == list(alone)


@pytest.mark.parametrize("order", ["sequential", "group_by_length"])
def test_the_rows_of_a_task_come_in_the_order_that_was_asked_for(order):
    lengths = [row % 7 for row in range(101)]
    alone = GlobalBatches(101, 8, order=order, lengths=lengths)
    mixed = MixtureBatches({"only": 101}, 8, order=order, lengths={"only": lengths})
    assert list(mixed) == list(alone) != list(MixtureBatches({"only": 101}, 8))


def test_another_seed_draws_the_tasks_in_another_order():
    assert len({tuple(tasks_of(epochs(1, seed=seed)[0])) for seed in range(4)}) > 1


def test_incomplete_batches_are_left_out_when_asked():
    (batches,) = epochs(1, drop_last=True)
    assert {len(batch) for batch in batches} == {8} and len(batches) == 12 + 1
    with pytest.raises(UserError, match="task small has 13 train rows and a step needs 16 .*dataloader_drop_last"):
        MixtureBatches(ROWS, 8, accumulation=2, drop_last=True)


def test_a_task_with_fewer_rows_than_a_step_needs_is_named():
    with pytest.raises(UserError, match="task small has 13 train rows and a step needs 16"):
        MixtureBatches(ROWS, 8, accumulation=8, ranks=2)
