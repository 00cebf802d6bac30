"""Forward passes side by side: on a CPU, one thread for each batch beats all threads on one batch.

Small operators wait for their slowest thread, and what is not parallel at all (padding, writing, Python) leaves cores
idle. Batches that are computed next to one another need no waiting, and the bits are the same.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

MOST = 8  # batches at a time; with more cores than that, each gets several threads


def side_by_side(
    work: Callable[[Any], Any], items: Iterable, device: str, share: int = 1
) -> Iterator[tuple[Any, Any]]:
    """Apply `work` to every item; yield each with its result, in the order in which they are done.

    Args:
        work: without side effects on what other items need.
        items (`Iterable`): never more than a few ahead of what has been taken.
        device (`str`): kind of device; anything but a CPU works on one item after the other.
        share (`int`): processes that share this machine's cores.
    """
    count = at_once(device, share)
    if count == 1:
        for item in items:
            yield item, work(item)
        return
    import torch

    threads = max(1, min(torch.get_num_threads(), _cores() // share) // count)
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(threads,))
    try:
        waiting = {}
        for item in items:
            waiting[pool.submit(work, item)] = item
            if len(waiting) > count:
                yield from _done(waiting)
        while waiting:
            yield from _done(waiting)
    finally:  # also when the caller is interrupted
        pool.shutdown(wait=True, cancel_futures=True)


def at_once(device: str, share: int = 1) -> int:
    """Return how many items [`side_by_side`] works on at a time."""
    return min(MOST, max(1, _cores() // share)) if device == "cpu" else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _done(waiting: dict) -> list[tuple[Any, Any]]:
    finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
    return [(waiting.pop(future), future.result()) for future in finished]
