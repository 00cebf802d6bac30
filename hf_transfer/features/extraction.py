"""Filling a recording: one process leads, all compute their share, and the bytes are those of a single process."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from ..bars import bar
from ..errors import UserError
from ..streams import side_by_side
from . import cache
from .key import key_of
from .recording import Recording, plan_arrays

WORTH_A_LINE_S = 20.0  # a longer extraction is announced with its size and time


@dataclass(frozen=True)
class Job:
    """What is to be recorded.

    Args:
        name (`str`): for people.
        identity (`dict`): JSON values that decide the bytes; their hash is the key.
        about (`dict`): what `hf-transfer cache list` says of it.
        batches (`list[list[int]]`): row numbers computed together; every row once.
        compute: row numbers to tensors, `(batch, ...)` or, padded on the right, `(batch, longest, ...)`.
        rows (`int`): how many there are.
        lengths (`np.ndarray`, *optional*): tokens in each row; none where every row has as many.
        device (`str`): kind of device that computes.
    """

    name: str
    identity: dict
    about: dict
    batches: list[list[int]]
    compute: Callable[[list[int]], dict[str, torch.Tensor]]
    rows: int
    lengths: np.ndarray | None = None
    device: str = "cpu"


class Ranks:
    """The processes of this machine that share one cache folder.

    Args:
        state (`accelerate.PartialState`): this process's place among them.
    """

    def __init__(self, state):
        self.index, self.wait = state.local_process_index, state.wait_for_everyone
        self.count = min(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), state.num_processes)
        self.leads = state.is_local_main_process


def find(identity: dict) -> Path | None:
    """Return the folder of a finished recording, or `None`."""
    folder = cache.root() / key_of(identity)
    if not (folder / cache.ABOUT).is_file():
        return None
    cache.touch(folder)
    return folder


def record(job: Job, ranks: Ranks) -> Path | None:
    """Return the folder of the finished recording, made now unless it is there.

    Returns:
        `Path`, or `None` when it is larger than the cache may be, or than half of what the disk has left.

    Raises:
        `UserError`: the cache folder cannot be written.
    """
    recording = Recording(cache.root() / key_of(job.identity))
    lock = _locked(recording.folder, job.name) if ranks.leads else None
    try:
        if ranks.leads and find(job.identity) is None:
            _prepare(job, recording)
        ranks.wait()
        if find(job.identity) is None and recording.partial.is_dir():
            recording.open()
            _fill(job, recording, ranks)
            ranks.wait()
            if ranks.leads:
                recording.finish()
        else:
            ranks.wait()
        ranks.wait()
        return find(job.identity)
    finally:
        if lock is not None:
            lock.release()


def _locked(folder: Path, name: str) -> FileLock:
    """Keep a second run from recording the same thing beside us; a killed one's lock is free again."""
    lock = cache.lock_of(folder)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{name}: another run is recording the same features; waiting for it", flush=True)
            lock.acquire()
    except OSError as error:
        raise UserError(
            f"the feature cache {cache.root()} cannot be written ({error.strerror}); "
            "set HF_TRANSFER_CACHE to a folder that can, or HF_TRANSFER_CACHE_GB=0 to do without"
        ) from error
    return lock


def _prepare(job: Job, recording: Recording) -> None:
    smallest = job.compute(job.batches[-1])  # tells the shapes, and warms up what the estimate is made from
    ends = None
    if "tokens" in smallest:
        lengths = np.full(job.rows, smallest["tokens"].shape[1]) if job.lengths is None else job.lengths
        ends = np.cumsum(lengths)
    arrays = plan_arrays(smallest, job.rows, 0 if ends is None else int(ends[-1]))
    if cache.make_room(sum(array.size for array in arrays.values()), recording.partial):
        recording.create(arrays, ends, len(job.batches), {**job.about, "rows": job.rows})
    else:
        shutil.rmtree(recording.partial, ignore_errors=True)


def _fill(job: Job, recording: Recording, ranks: Ranks) -> None:
    own = range(ranks.index, len(job.batches), ranks.count)
    left = [number for number in own if not recording.done[number]]
    total = sum(len(job.batches[number]) for number in own)
    with bar(total, job.name, "row", hidden=not ranks.leads) as progress:
        progress.update(total - sum(len(job.batches[number]) for number in left))
        try:
            start = time.perf_counter()
            for place, (number, outputs) in enumerate(_computed(job, left, ranks)):
                rows = job.batches[number]
                recording.write(number, rows, outputs)
                progress.update(len(rows))
                if place == 0 and ranks.leads:
                    seconds = (time.perf_counter() - start) * (total - progress.n) / len(rows)
                    _announce(job, recording, seconds, progress)
        except KeyboardInterrupt:
            kept = f"{int(recording.done.sum())} of {len(job.batches)} batches"
            raise KeyboardInterrupt(f"stopped; {kept} of features are kept, the same command goes on") from None


def _computed(job: Job, numbers: list[int], ranks: Ranks) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """Compute the first batch alone, which sets up what the others share, then the others side by side."""
    for number in numbers[:1]:
        yield number, job.compute(job.batches[number])
    yield from side_by_side(lambda number: job.compute(job.batches[number]), numbers[1:], job.device, ranks.count)


def _announce(job: Job, recording: Recording, seconds: float, progress) -> None:
    if seconds > WORTH_A_LINE_S:
        size = sum(array.nbytes for array in recording.arrays.values())
        progress.write(f"{job.name}: {job.rows:,} rows, {size / 1e6:,.0f} MB in {cache.root()}; {_duration(seconds)}")


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"
