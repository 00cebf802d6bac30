"""Which batch budget is fastest on this machine: timed only for who asks, since batches decide the last bits.

A run without the flag never comes here; see hf_transfer/batching.py for what it takes.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list

from ..batching import BUDGETS
from ..jsonfile import write_json
from ..streams import at_once, side_by_side
from .cache import remember_check, remembered_check
from .key import key_of

FACTORS = (0.25, 0.5, 1, 2, 4)  # of the committed default
ROUNDS = 3


class Probe:
    """Times a few budgets for each frozen backbone of a run, and keeps to the fastest.

    What was taken lies beside the checkpoints, so that a resumed run takes the same; what was timed lies in the cache,
    so that the next run on the same rows, such as another seed, finds its recordings.

    Args:
        state (`accelerate.PartialState`): the first process times and decides, the others are told.
        say (`Callable[[str], None]`): tells the user.
        path (`Path`): JSON file for what was taken, by part of a fused backbone (`""` for a single one).
        part (`str`): the part whose features are extracted.
    """

    def __init__(self, state, say: Callable[[str], None], path: Path, part: str = ""):
        self.state, self.say, self.path, self.part = state, say, path, part

    def of(self, part: str) -> "Probe":
        """The same for one part of a fused backbone."""
        return Probe(self.state, self.say, self.path, part)

    def take(self, source, identity: Mapping, device: str, share: int, run: Callable[[list[int]], Mapping]) -> int:
        """Return the budget for this part; timed on `source`, its first rows, unless that was done before.

        Args:
            source (`Texts` or `Images`): the rows.
            identity (`Mapping`): JSON values that decide what is computed: backbone, rows, precision.
            device (`str`): kind of device.
            share (`int`): processes that share this machine's cores.
            run: row numbers to outputs, as the extraction does it.
        """
        taken = [None]
        if self.state.is_main_process:
            found = found_in(self.path)
            if self.part not in found:
                rates = self._rates(source, identity, device, share, run)
                found[self.part] = {
                    "unit": source.unit,
                    "taken": max(rates, key=rates.get),
                    "default": default_of(source.unit, device),
                    "rows_per_s": {str(size): rate for size, rate in rates.items()},
                }
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_json(self.path, found)
            self.say(_line(found[self.part], self.part))
            taken = [found[self.part]["taken"]]
        if self.state.num_processes > 1:
            broadcast_object_list(taken)
        return taken[0]

    def _rates(self, source, identity, device, share, run) -> dict[int, float]:
        """Rows per second of each candidate, from the cache or timed now."""
        default = default_of(source.unit, device)
        # The default first: where others are no faster, or make the same batches, it stays.
        sizes = [default, *(int(default * factor) for factor in FACTORS if factor != 1)]
        about = {**identity, "cores": at_once(device, share), "timed on": device}
        keys = {size: key_of({**about, "budget": size}) for size in sizes}
        known = {size: remembered_check(key) for size, key in keys.items()}
        if known[default] is None:
            timed = time_budgets({size: source.batched(size) for size in sizes}, device, share, run)
            known = dict.fromkeys(sizes) | timed
            for size, rate in timed.items():
                remember_check(keys[size], rate)
        return {size: rate for size, rate in known.items() if rate is not None}


def time_budgets(
    batches: Mapping[int, Sequence[list[int]]], device: str, share: int, run: Callable[[list[int]], Mapping]
) -> dict[int, float]:
    """Time a few batches of each budget, in turn, so that a drift of the machine meets all alike.

    Args:
        batches (`Mapping[int, Sequence[list[int]]]`): by budget, all its batches; those of a later budget that are an
            earlier one's are not timed again.
        device, share, run: as for [`Probe.take`].

    Returns:
        `dict[int, float]`: rows per second, the median of three rounds.
    """
    distinct = {}
    for size, own in batches.items():
        if own not in distinct.values():
            distinct[size] = own
    few = {size: _spread(own, 2 * at_once(device, share)) for size, own in distinct.items()}
    run(min(batches[min(batches)], key=len))  # alone: sets up what the others share
    rates = {size: [] for size in few}
    for _ in range(ROUNDS):
        for size in list(few):
            try:
                rates[size].append(_rate(few[size], device, share, run))
            except torch.OutOfMemoryError:  # of an accelerator
                del few[size]
                if not few:
                    raise
                torch.accelerator.empty_cache()
    return {size: round(statistics.median(rates[size]), 1) for size in few}


def _rate(batches: list[list[int]], device: str, share: int, run) -> float:
    start = time.perf_counter()
    for _ in side_by_side(lambda rows: {k: v.cpu() for k, v in run(rows).items()}, batches, device, share):
        pass
    return sum(map(len, batches)) / (time.perf_counter() - start)


def _spread(batches: Sequence[list[int]], count: int) -> list[list[int]]:
    """So many batches, from all lengths alike."""
    count = min(count, len(batches))
    return [batches[(2 * place + 1) * len(batches) // (2 * count)] for place in range(count)]


def default_of(unit: str, device: str) -> int:
    """Return the committed budget; an unknown kind of device gets the CPU's."""
    return BUDGETS[unit].get(device, BUDGETS[unit]["cpu"])


def found_in(path: Path) -> dict[str, dict]:
    """Return what was taken, by part; empty where nothing was."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _line(found: dict, part: str) -> str:
    rates = ", ".join(f"{int(size):,}: {rate:,.0f}/s" for size, rate in sorted(found["rows_per_s"].items(), key=_size))
    what = f"  budget     {f'{part}: ' if part else ''}{found['taken']:,} {found['unit']} per batch"
    return f"{what} (default {found['default']:,}; rows per second here: {rates})"


def _size(pair: tuple[str, float]) -> int:
    return int(pair[0])
