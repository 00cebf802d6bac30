"""Where the time of a run goes."""

import time
from contextlib import contextmanager


class Clock:
    """Seconds per named phase.

    Example:
        >>> clock = Clock()
        >>> with clock("train"):
        ...     pass
        >>> sorted(clock.seconds())
        ['total_s', 'train_s']
    """

    def __init__(self):
        self._start = time.perf_counter()
        self._phases: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str):
        start = time.perf_counter()
        try:
            yield
        finally:
            self._phases[phase] = self._phases.get(phase, 0.0) + time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """Return `{"<phase>_s": seconds, ..., "total_s": seconds}` so far."""
        result = {f"{phase}_s": round(seconds, 3) for phase, seconds in self._phases.items()}
        return {**result, "total_s": round(time.perf_counter() - self._start, 3)}
