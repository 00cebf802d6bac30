"""One cell of the comparison: a method on one draw, run by the package itself; and the file that keeps the cells."""

import contextlib
import io
import json
import os
import tempfile
import time
from pathlib import Path

from filelock import FileLock
from harness import environment, write_results

from .draws import data_of
from .methods import METHODS

RESULTS = Path(__file__).resolve().parents[1] / "results" / "strategies.json"


def key(kind: str, method: str, size, seed: int, rate: float | None = None) -> str:
    """Return the name of a cell; those beside the comparison say their learning rate too."""
    return "/".join(map(str, (kind, method, size, seed, *([] if rate is None else [f"{rate:g}"]))))


def settings(kind: str, method: str, size, rate: float | None, data) -> dict:
    """Return all of a cell's recipe but its rows: a cell with other settings is measured anew."""
    from hf_transfer.recipe_json import recipe_to_dict

    content = recipe_to_dict(METHODS[method].recipe(kind, size, rate, data))
    content["backbone"]["checkpoint"] = Path(content["backbone"]["checkpoint"]).name
    return {name: content[name] for name in ("backbone", "head", "strategy", "objective", "training")}


def measure(kind: str, method: str, size, seed: int, rate: float | None, *, tuning: bool = False) -> dict:
    """Train and test one method on one draw; when tuning, the test rows stay out of sight.

    Returns:
        `dict`: `validation` and `test`, what was measured of the saved model; `trainable` and `total` parameters;
        `train_s`, recording features and training; `run_s`, the whole run; `cpu_s`, its processor time;
        `environment`, the machine and the versions, since the cells need not come from one.
    """
    from hf_transfer import run

    data = data_of(kind, size, seed, tuning)
    recipe = METHODS[method].recipe(kind, size, rate, data)
    # A cache of its own: else the first method on a draw pays for the features that the others find.
    with tempfile.TemporaryDirectory() as folder, _environment(HF_TRANSFER_CACHE=f"{folder}/cache"), _quiet() as said:
        start, cpu = time.perf_counter(), time.process_time()
        try:
            result = run(recipe, f"{folder}/out", name=f"{kind}/{method}", seed=seed, farewell=False)
        except Exception:
            said.show = True
            raise
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    told = result.data
    return {
        "validation": _scores(result.metrics["validation"]),
        "test": _scores(result.metrics["test"]),
        "majority_class": told["baselines"]["majority_class"],
        "rows": {split: told["data"][split] for split in ("train", "validation", "test")},
        "trainable": told["parameters"]["trainable"],
        "total": told["parameters"]["total"],
        "train_s": round(told["timing"].get("features_s", 0) + told["timing"]["train_s"], 2),
        "run_s": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        "environment": environment(),
        "dtype": told["environment"]["dtype"],
        "settings": settings(kind, method, size, rate, data),
    }


def _scores(metrics: dict) -> dict:
    return {name: round(metrics[name], 6) for name in ("accuracy", "macro_f1", "loss")}


@contextlib.contextmanager
def _environment(**values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet():
    """Keep what a run says to itself; it is shown where the run fails."""
    said = io.StringIO()
    said.show = False
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield said
    finally:
        if said.show:
            print(said.getvalue())


def read(path: Path = RESULTS) -> dict:
    """Return the content of the results file; an empty one where there is none yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"grid": {}, "cells": {}}


def keep(part: str, place: str, cell: dict, path: Path = RESULTS, **facts) -> dict:
    """Put one cell into the results file, whole or not at all, beside those that other processes put there meanwhile.

    Args:
        part (`str`): `"grid"`, `"cells"` or `"other_rates"`.
        place (`str`): the cell's name, see `key`.
        cell (`dict`): what was measured.
        facts: what the file says of all cells.

    Returns:
        `dict`: what the file holds now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)  # the lock comes before the file
    with FileLock(path.with_suffix(".lock")):
        content = read(path) | facts
        content.setdefault(part, {})[place] = cell
        write_results(path, content)
    return content
