"""Batches computed side by side: each once, few ahead, and an error or Ctrl-C ends the others."""

import threading
import time

import pytest
import torch

from hf_transfer import streams
from hf_transfer.streams import side_by_side


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(streams.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_item_comes_once_with_its_own_result(device):
    assert sorted(side_by_side(lambda item: item * 2, range(100), device)) == [(n, 2 * n) for n in range(100)]


def test_a_cpu_computes_several_at_a_time_and_others_one():
    def threads(device, share=1):
        met = threading.Barrier(4 // share, timeout=5)
        return {
            name
            for _, name in side_by_side(lambda _: met.wait() is None or threading.get_ident(), range(8), device, share)
        }

    assert len(threads("cpu")) == 4
    assert len(threads("cpu", share=2)) == 2  # two processes share the cores
    assert {thread for _, thread in side_by_side(lambda _: threading.get_ident(), range(3), "cuda")} == {
        threading.get_ident()
    }


def test_a_worker_has_its_share_of_the_threads():
    before = torch.get_num_threads()
    counts = {count for _, count in side_by_side(lambda _: torch.get_num_threads(), range(8), "cpu")}
    assert counts == {max(1, min(before, 4) // 4)} and torch.get_num_threads() == before


def test_no_more_is_begun_than_can_be_held():
    begun = []
    results = side_by_side(lambda item: begun.append(item), range(1000), "cpu")
    for _ in range(3):
        next(results)
    time.sleep(0.2)
    assert len(begun) <= 3 + 5 + 4
    results.close()
    assert len(begun) < 20


def test_an_error_reaches_the_caller():
    def fail(item):
        raise ValueError(item)

    with pytest.raises(ValueError):
        list(side_by_side(fail, range(3), "cpu"))
