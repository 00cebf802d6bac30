"""Measuring two sides fairly: alternation, medians with exact intervals, whole processes with their peak memory."""

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
POLL_S = 0.1


class BenchmarkFailed(Exception):
    """A measured process failed; the message ends with the last lines it wrote."""


@dataclass(frozen=True)
class Finished:
    """A process that ended well.

    Args:
        seconds (`float`): wall time from start to exit.
        peak_bytes (`int`): largest sum of RssAnon over the process tree; 0 where there is no /proc.
        output (`str`): what it wrote to standard output.
    """

    seconds: float
    peak_bytes: int
    output: str

    def figures(self) -> dict:
        """The JSON object on the last line of the output that holds one."""
        for line in reversed(self.output.splitlines()):
            if line.startswith("{"):
                return json.loads(line)
        raise BenchmarkFailed(f"no line of JSON in the output:\n{self.output[-1000:]}")


def run_process(command: Sequence[str], env: Mapping[str, str] | None = None) -> Finished:
    """Run a command in the repository's root to its end, and watch its private memory.

    Raises:
        `BenchmarkFailed`: it ended with another status than 0.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        # In a session of its own: Ctrl-C reaches this process alone, which then ends the whole group.
        process = subprocess.Popen(
            list(command), cwd=ROOT, env={**os.environ, **OFFLINE, **(env or {})}, stdout=out, stderr=err,
            start_new_session=True,
        )  # fmt: skip
        watcher = _PeakMemory(process.pid)
        try:
            status = process.wait()  # blocks, so that the end is seen at once and not at the next poll
            seconds = time.perf_counter() - start
        finally:
            watcher.stop()
            _end_group(process)
        output = _text(out)
        if status:
            tail = "\n".join((output + _text(err)).strip().splitlines()[-15:])
            raise BenchmarkFailed(f"{' '.join(map(str, command))} ended with status {status}:\n{tail}")
        return Finished(seconds, watcher.peak, output)


# A rival must not wait for a network, nor be slowed by warnings.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}


def run_script(name: str, *arguments, env: Mapping[str, str] | None = None) -> Finished:
    """Run `benchmarks/NAME` with this interpreter."""
    return run_process([sys.executable, f"benchmarks/{name}", *map(str, arguments)], env)


def alternate(sides: Mapping[str, Callable[[int], dict]], repetitions: int) -> dict[str, list[dict]]:
    """Measure every side `repetitions` times in turn: A B, B A, A B, ...

    Small shared machines drift by 8 to 18%; turning the order cancels a drift that is steady over a pair.

    Args:
        sides (`Mapping[str, Callable]`): name to a function that measures once and returns figures; it is given the
            number of the repetition, from 0.

    Returns:
        `dict[str, list[dict]]`: the figures by side, in the order of the repetitions.
    """
    figures = {name: [] for name in sides}
    for repetition in range(repetitions):
        order = list(sides) if repetition % 2 == 0 else list(sides)[::-1]
        for name in order:
            print(f"  {repetition + 1}/{repetitions} {name} ...", end=" ", flush=True)
            start = time.perf_counter()
            figures[name].append(sides[name](repetition))
            print(f"{time.perf_counter() - start:.0f} s", flush=True)
    return figures


def column(figures: Sequence[Mapping], key: str) -> list[float]:
    """One figure of every repetition."""
    return [entry[key] for entry in figures]


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Interval for the median from order statistics (the sign test turned round): exact for any distribution.

    Of n independent values the median lies outside the k-th smallest to the k-th largest with probability
    2 * P(Binomial(n, 1/2) < k).

    Returns:
        `tuple[float, float, float]`: low, high, and the confidence they have; fewer than six values cannot reach
        0.95, and then the interval is the smallest to the largest with what confidence that gives.
    """
    ordered, n = sorted(values), len(values)
    best = 1
    for k in range(1, (n + 1) // 2 + 1):
        if _inside(n, k) >= confidence:
            best = k
    return ordered[best - 1], ordered[n - best], max(0.0, _inside(n, best))


def _inside(n: int, k: int) -> float:
    return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log(value) over log(size) by least squares: 1 is linear growth."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mx, my = statistics.mean(x), statistics.mean(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def compare(
    what: str,
    ours: Sequence[float],
    rival: Sequence[float],
    *,
    unit: str,
    rival_name: str,
    higher_is_better: bool,
    target: float | None = None,
) -> dict:
    """A row of the table: how many times as fast as the rival, as the median over the pairs of a repetition.

    Args:
        ours, rival (`Sequence[float]`): one figure per repetition, in the same order.
        unit (`str`): such as `"texts/s"` or `"s"`.
        higher_is_better (`bool`): rates yes, times no; either way a ratio above 1 speaks for us.
        target (`float`, *optional*): least ratio that is asked for.
    """
    ratios = [a / b if higher_is_better else b / a for a, b in zip(ours, rival, strict=True)]
    low, high, confidence = median_interval(ratios)
    return {
        "what": what,
        "unit": unit,
        "ours": _rounded(ours),
        "ours_median": _round(statistics.median(ours)),
        "rival_name": rival_name,
        "rival": _rounded(rival),
        "rival_median": _round(statistics.median(rival)),
        "kind": "ratio",
        "value": _round(statistics.median(ratios)),
        "values": _rounded(ratios),
        "interval": [_round(low), _round(high)],
        "interval_confidence": round(confidence, 3),
        "target": target,
        "target_is": "at least",
    }


def quantity(
    what: str, values: Sequence[float], *, unit: str, target: float | None = None, target_is: str = "under"
) -> dict:
    """A row of the table that is a figure of ours alone: a share, an overhead, a growth, a time."""
    low, high, confidence = median_interval(values)
    return {
        "what": what,
        "unit": unit,
        "kind": "quantity",
        "value": _round(statistics.median(values)),
        "values": _rounded(values),
        "interval": [_round(low), _round(high)],
        "interval_confidence": round(confidence, 3),
        "target": target,
        "target_is": target_is,
    }


def met(row: Mapping) -> bool | None:
    """Whether a row reaches its target; `None` without one. Speed at the cost of accuracy reaches none."""
    if row["target"] is None:
        return None
    if row.get("less_accurate"):
        return False
    return row["value"] >= row["target"] if row["target_is"] == "at least" else row["value"] < row["target"]


def environment() -> dict:
    """The machine and the versions the figures come from; no date, no name of a machine."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    cuda = torch.cuda.is_available()
    packages = ("torch", "transformers", "timm", "sentence-transformers", "accelerate", "datasets")
    try:
        versions = {name.replace("-", "_"): version(name) for name in packages}
    except PackageNotFoundError as error:
        raise SystemExit(
            f"the benchmarks need the package {error.name!r}: pip install 'hf-transfer-recipes[demo,bench]'"
        ) from error
    return {
        "device": "cuda" if cuda else "cpu",
        "device_name": torch.cuda.get_device_name() if cuda else _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "fast_bf16": fast_bf16(),
        **versions,
    }


def fast_bf16() -> bool:
    """Whether the machine multiplies bfloat16 natively."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def dtypes() -> tuple[str, ...]:
    """What is worth measuring: emulated bfloat16 takes ten times as long as float32, and nobody would use it."""
    return ("float32", "bfloat16") if fast_bf16() else ("float32",)


def read_results(path: Path) -> dict:
    """The content of a results file; an empty one where there is none yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"entries": {}}


def merge(path: Path, name: str, entry: Mapping) -> dict:
    """Replace one benchmark's entry in the results file and leave the others; whole or not at all."""
    content = read_results(path)
    content["entries"][name] = dict(entry)
    write_results(path, content)
    return content


def write_results(path: Path, content: Mapping) -> None:
    """Write a results file, whole or not at all; keys in alphabetical order, so that commits show what changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


class _PeakMemory:
    """Polls the private memory of a process tree from a thread: `ru_maxrss` would count memory-mapped files too."""

    def __init__(self, pid: int):
        self.pid, self.peak, self._over = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(POLL_S):
            self.peak = max(self.peak, tree_bytes(self.pid))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def tree_bytes(pid: int) -> int:
    """RssAnon of a process and its descendants, in bytes; what has ended by now counts nothing."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")]
    return sum(own) + sum(tree_bytes(child) for child in children)


def _end_group(process: subprocess.Popen) -> None:
    """End what a stopped benchmark has left running; of a process that ended by itself there is nothing."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _text(file) -> str:
    file.seek(0)
    return file.read()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "cpu")


def _round(value: float) -> float:
    return float(f"{value:.5g}")


def _rounded(values: Sequence[float]) -> list[float]:
    return [_round(value) for value in values]
