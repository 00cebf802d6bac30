"""CPU threads: as many as there are cores, also under `accelerate launch`."""

import os


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
