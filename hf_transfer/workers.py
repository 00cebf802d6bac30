"""Worker processes that decode images while the net trains: how many, and how they behave."""

import os
import signal

from transformers.trainer_utils import seed_worker

# How many where a CPU trains, by the cores of a training process: benchmarks/decoding.py measured that photos and
# digits train best with so many (workers take cores from the net). Not in the table, not measured: none.
WORKERS: dict[int, int] = {2: 0}
MOST = 8  # beside a GPU, whose net leaves its host's cores idle; not measured
GRACE_S = 30  # from the termination signal to the end of a worker that nobody lets go


def default_workers(device: str, processes: int = 1) -> int:
    """Return how many workers each training process of this machine should start.

    Args:
        device (`str`): kind of device that trains; beside a GPU all cores but the process's own decode, at most 8.
        processes (`int`): that train on this machine.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // processes
    return min(MOST, max(0, share - 1)) if device == "cuda" else WORKERS.get(share, 0)


def start_worker(worker_id: int, num_workers: int, rank: int) -> None:
    """Set up a worker process: with a seed of its own, and deaf to Ctrl-C.

    A terminal sends Ctrl-C to all processes, and a cluster its termination signal. A worker that dies of it takes the
    main process along before the checkpoint is whole; so it goes on serving until it is let go. One whose main process
    has died notices by itself.
    """
    seed_worker(worker_id, num_workers=num_workers, rank=rank)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # not on Windows, where termination is no signal
        # In the end all the same: Python ends its workers by this signal where an exception leaves them behind.
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE_S))
