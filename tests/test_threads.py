"""`accelerate launch` gives a lone CPU process one thread; the others are taken back, and only then."""

import os

import pytest
import torch

from hf_transfer.threads import use_idle_cores

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.skipif(torch.cuda.is_available(), reason="threads matter little beside a GPU")
@pytest.mark.parametrize(
    "launched,asked,processes,expected",
    [(True, "1", 1, CORES), (False, "1", 1, 1), (True, "3", 1, 1), (True, "1", 2, 1)],
)
def test_threads(launched, asked, processes, expected, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.delenv("ACCELERATE_DYNAMO_USE_FULLGRAPH", raising=False)
    if launched:
        monkeypatch.setenv("ACCELERATE_DYNAMO_USE_FULLGRAPH", "False")
    try:
        torch.set_num_threads(1)
        use_idle_cores(processes)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_small_work_is_done_on_one_thread_and_large_work_on_all(monkeypatch):
    from hf_transfer.threads import SMALL, one_thread_where_small

    set_to = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    with pytest.raises(ZeroDivisionError), one_thread_where_small(SMALL - 1):
        assert set_to == [1]
        raise ZeroDivisionError
    assert set_to == [1, 4]
    with one_thread_where_small(SMALL):
        assert set_to == [1, 4]
