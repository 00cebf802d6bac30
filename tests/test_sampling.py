"""Training batches: every row once per epoch on any number of ranks, in an order that favours nothing."""

import random

import pytest
import torch
from counting import train_counting
from transformers.trainer_pt_utils import get_length_grouped_indices

from hf_transfer.errors import UserError
from hf_transfer.sampling import ORDERS, GlobalBatches


def lengths_of(count: int) -> list[int]:
    draw = random.Random(0)
    return [draw.randint(5, 60) for _ in range(count)]


def plan(rows: int, batch_size: int, ranks: int = 1, epoch: int = 0, **settings) -> list[list[list[int]]]:
    """Return the batches of each rank, `[rank][batch][row]`."""
    settings = {"order": "group_by_length", "lengths": lengths_of(rows), **settings}
    found = []
    for rank in range(ranks):
        batches = GlobalBatches(rows, batch_size, ranks, rank, **settings)
        batches.set_epoch(epoch)
        found.append(list(batches))
        assert len(found[-1]) == len(batches)
    return found


def global_batches(*args, **settings) -> list[set[int]]:
    return [set().union(*shares) for shares in zip(*plan(*args, **settings), strict=True)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("rows", [101, 100, 7, 5])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_every_row_once_and_no_rank_waits(ranks, rows, batch_size):
    for order in ORDERS:
        found = plan(rows, batch_size, ranks, order=order)
        assert sorted(row for batches in found for batch in batches for row in batch) == list(range(rows))
        assert len({len(batches) for batches in found}) == 1
        sizes = [len(batch) for batches in found for batch in batches]
        assert min(sizes) >= 1
        # One row per rank and a rest of fewer rows than ranks: somebody has to take two.
        assert max(sizes) <= (batch_size if batch_size > 1 or ranks == 1 else 2)
        if batch_size > 1 or ranks == 1:
            assert len(found[0]) == -(-rows // (batch_size * ranks))
        for shares in zip(*found, strict=True):
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("rows", [101, 100, 73, 13])
def test_the_global_batches_do_not_depend_on_the_number_of_ranks(rows, order, drop_last):
    one, two, three, six = (
        global_batches(rows, 12 // ranks, ranks, order=order, drop_last=drop_last, epoch=1) for ranks in (1, 2, 3, 6)
    )
    assert one == two == three == six


@pytest.mark.parametrize("ranks", [1, 2])
def test_drop_last_leaves_full_batches_and_other_rows_each_epoch(ranks):
    left_out = []
    for epoch in range(5):
        found = plan(101, 8, ranks, epoch, drop_last=True)
        assert {len(batch) for batches in found for batch in batches} == {8}
        seen = [row for batches in found for batch in batches for row in batch]
        assert len(seen) == len(set(seen)) == 96
        left_out.append(frozenset(range(101)) - set(seen))
    assert len(set(left_out)) == 5
    assert plan(101, 8, order="sequential", drop_last=True)[0][-1] == list(range(88, 96))


@pytest.mark.parametrize("order", ["random", "group_by_length"])
def test_the_order_depends_on_seed_and_epoch_alone(order):
    torch.manual_seed(1)
    first = plan(101, 8, order=order, seed=5, epoch=2)
    torch.manual_seed(2)
    assert plan(101, 8, order=order, seed=5, epoch=2) == first
    assert torch.initial_seed() == 2 and torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(2))
    assert plan(101, 8, order=order, seed=5, epoch=3) != first
    assert plan(101, 8, order=order, seed=6, epoch=2) != first


def test_an_iteration_can_be_repeated_within_its_epoch():
    batches = GlobalBatches(50, 4, order="random", seed=1)
    batches.set_epoch(4)
    assert list(batches) == list(batches)


def test_sequential_is_the_order_of_the_rows():
    assert plan(10, 4, order="sequential") == [[[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]]


def test_rows_without_lengths_are_shuffled():
    grouped = plan(101, 8, lengths=None)
    assert grouped == plan(101, 8, order="random")
    assert grouped != plan(101, 8, order="sequential")


def padding(batches: list[list[int]], lengths: list[int]) -> float:
    """Padded positions, as a share of the tokens."""
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    return padded / sum(lengths[row] for batch in batches for row in batch) - 1


@pytest.mark.parametrize("ranks", [1, 2])
def test_rows_of_a_batch_are_of_like_length_on_each_rank(ranks):
    lengths = lengths_of(3000)
    for batches in plan(3000, 32 // ranks, ranks):
        assert padding(batches, lengths) < 0.06
        tokens = sum(lengths[row] for batch in batches for row in batch)
        assert tokens / sum(lengths) == pytest.approx(1 / ranks, abs=0.01)
    assert padding(plan(3000, 32, order="random")[0], lengths) > 0.5


def likeness_of_neighbours(batches: list[list[int]], lengths: list[int]) -> float:
    """Correlation between the mean length of a batch and that of the next."""
    means = torch.tensor([sum(lengths[row] for row in batch) / len(batch) for batch in batches])
    return torch.corrcoef(torch.stack([means[:-1], means[1:]]))[0, 1].item()


def trend(batches: list[list[int]], lengths: list[int]) -> float:
    """Correlation between a batch's position in the epoch and its mean length."""
    means = torch.tensor([sum(lengths[row] for row in batch) / len(batch) for batch in batches])
    return torch.corrcoef(torch.stack([torch.arange(len(means)).float(), means]))[0, 1].item()


def test_the_position_of_a_batch_says_nothing_about_its_length():
    lengths, epochs = lengths_of(3200), range(10)
    ours = [plan(3200, 32, epoch=epoch)[0] for epoch in epochs]
    stock = []
    for epoch in epochs:
        order = get_length_grouped_indices(lengths, 32, generator=torch.Generator().manual_seed(epoch))
        stock.append([order[start : start + 32] for start in range(0, 3200, 32)])

    def mean(measure, orders):
        return sum(measure(batches, lengths) for batches in orders) / len(orders)

    # 10 x 100 batches: without any relation the mean correlation has a standard deviation of 0.03.
    assert abs(mean(likeness_of_neighbours, ours)) < 0.12 and abs(mean(trend, ours)) < 0.12
    # The stock order runs from long to short within each block: both measures see it.
    assert mean(likeness_of_neighbours, stock) > 0.7 and mean(trend, stock) < -0.15


def test_a_small_data_set_does_not_see_the_same_batches_each_epoch():
    # 64 different lengths: sorted as one block, every epoch would have the very same eight batches.
    first, second = ({frozenset(batch) for batch in plan(64, 8, epoch=e, lengths=range(64))[0]} for e in (0, 1))
    assert len(first & second) <= 1


@pytest.mark.parametrize(
    "rows,batch_size,ranks,drop_last,words",
    [
        (2, 8, 3, False, ("2 rows for 3 processes", "at most 2 processes")),
        (0, 8, 1, False, ("0 rows",)),
        (7, 8, 1, True, ("7 rows", "per_device_train_batch_size 8", "dataloader_drop_last")),
        (15, 8, 2, True, ("15 rows", "2 processes", "dataloader_drop_last")),
    ],
)
def test_what_cannot_be_shared_out_is_told(rows, batch_size, ranks, drop_last, words):
    with pytest.raises(UserError) as error:
        GlobalBatches(rows, batch_size, ranks, drop_last=drop_last)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------------------------------
# Through Trainer and Accelerate


@pytest.mark.parametrize("strategy", ORDERS)
@pytest.mark.parametrize("accumulation,steps", [(1, 13), (3, 5), (20, 1)])
def test_an_epoch_of_training_sees_every_row_once(strategy, accumulation, steps, tmp_path):
    run = train_counting(tmp_path, train_sampling_strategy=strategy, gradient_accumulation_steps=accumulation)
    first, second = run["seen"][:13], run["seen"][13:]
    for epoch in (first, second):
        assert sorted(row for batch in epoch for row in batch) == list(range(101))
    assert (first == second) == (strategy == "sequential")
    assert run["steps"] == 2 * steps


def test_drop_last_reaches_the_batches(tmp_path):
    run = train_counting(tmp_path, dataloader_drop_last=True, num_train_epochs=1)
    assert [len(batch) for batch in run["seen"]] == [8] * 12 and run["steps"] == 12


def test_the_seed_of_the_data_wins_over_the_seed_even_when_it_is_0(tmp_path):
    def rows(**seeds):
        return train_counting(tmp_path, max_steps=5, **seeds)["seen"]

    assert rows(seed=1, data_seed=0) == rows(seed=2, data_seed=0) == rows(seed=0)
    assert rows(seed=1) != rows(seed=1, data_seed=0)


@pytest.mark.parametrize("stop_at", [2, 5, 7])
def test_a_resumed_epoch_sees_the_rows_that_were_left(stop_at, tmp_path):
    settings = dict(gradient_accumulation_steps=3, save_strategy="steps", save_steps=stop_at)
    whole = train_counting(tmp_path, **settings)  # five steps an epoch, of 3, 3, 3, 3 and 1 micro-batches
    rest = train_counting(tmp_path, resume=str(tmp_path / f"checkpoint-{stop_at}"), **settings)
    done = {2: 6, 5: 13, 7: 19}[stop_at]
    assert rest["seen"] == whole["seen"][done:]
    assert rest["weights"] == whole["weights"]


def test_workers_see_the_same_batches(tmp_path):
    alone = train_counting(tmp_path, num_train_epochs=2)
    assert train_counting(tmp_path, num_train_epochs=2, dataloader_num_workers=1)["seen"] == alone["seen"]
