"""CPU threads: all cores, also under `accelerate launch`; one for what is done before a second has woken up."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Multiplications that take one thread a millisecond or two.
SMALL = 2**26


def use_idle_cores(processes: int) -> None:
    """Undo the single thread that `accelerate launch` gives a lone process on a CPU.

    The launcher writes `OMP_NUM_THREADS=1` wherever the variable is unset, which leaves every other core idle. It is
    left alone for several processes, and when another number was asked for.

    Args:
        processes (`int`): how many processes share the machine.
    """
    import torch

    launched = "ACCELERATE_DYNAMO_USE_FULLGRAPH" in os.environ  # written by the launcher alone
    if launched and processes == 1 and os.environ.get("OMP_NUM_THREADS") == "1" and not torch.cuda.is_available():
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


@contextmanager
def one_thread_where_small(multiplications: int) -> Iterator[None]:
    """Compute on one thread within, where each step is small.

    Threads meet after every operation. On a busy machine one that has lost its core is waited for by all, and where
    the operations are small that is most of the time: beside eight other processes on two cores, a linear fit of 1,615
    rows of 384 features took 35 s on two threads and 5 s on one.

    Args:
        multiplications (`int`): of one step; from `SMALL` on, nothing is changed.
    """
    import torch

    before = torch.get_num_threads()
    if multiplications < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
