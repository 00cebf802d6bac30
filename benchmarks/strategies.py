"""Which strategy wins with how many labels: the embedded sets, 8, 32, 128 and all labels per class, five seeds.

    python benchmarks/strategies.py              # some five hours of one core
    python benchmarks/strategies.py --tune       # of this the first part alone: the learning rates
    python benchmarks/strategies.py --rate 1e-3  # another learning rate than the chosen one, to see what it would give
    python benchmarks/strategies.py --report     # docs/strategies.md and its plot again, without training

A stopped benchmark goes on where it was: cells that are done, with the settings they would have now, are kept.
`--only text`, `--methods full lora`, `--labels 8 32` and `--seeds 0 1` measure a part; two processes may measure two
parts side by side, such as `--only text` and `--only image`.
"""

import argparse
import os
import time
from statistics import fmean

from labels.cells import keep, key, measure, read, settings
from labels.draws import data_of
from labels.methods import METHODS, SETS, SIZES

SEEDS = (0, 1, 2, 3, 4)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # or a thread that waits for another would count as work
# Several, because at some rates one draw learns well and the next one collapses.
TUNING_SEEDS, TUNING_SIZE = (100, 101, 102), 32
RULE = (
    f"the highest validation accuracy at {TUNING_SIZE} labels per class, then the lowest loss, the mean over the "
    f"draws of seeds {', '.join(map(str, TUNING_SEEDS))}, which are none of those compared; the same rate at every "
    "size. (By the loss alone, on one draw, the first version of this table chose rates at which texts collapsed on "
    "other draws)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SETS, help="one of the two sets")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--labels", nargs="+", choices=list(map(str, SIZES)), default=list(map(str, SIZES)))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--rate", type=float, help="measure at this learning rate too; such cells stand apart")
    parser.add_argument("--tune", action="store_true", help="choose the learning rates and stop")
    parser.add_argument("--report", action="store_true", help="write the page and the plot from what is there")
    asked = parser.parse_args()
    if asked.tune and asked.rate is not None:
        parser.error("--tune chooses learning rates and --rate names one; give one of them")
    sets = [asked.only] if asked.only else list(SETS)
    sizes = [size for size in SIZES if str(size) in asked.labels]
    if not asked.report:
        content = read()
        if asked.rate is None:
            carry_out(content, "grid", grid(sets, asked.methods))
        if not asked.tune:
            part = "cells" if asked.rate is None else "other_rates"
            carry_out(content, part, comparison(content, sets, asked.methods, sizes, asked.seeds, asked.rate))
    if not asked.tune:
        from labels.page import write_page

        write_page(read())


def grid(sets, methods) -> list[tuple]:
    """The cells that choose learning rates: `(set, method, size, seed, rate)`."""
    return [
        (kind, name, TUNING_SIZE, seed, rate)
        for kind in sets
        for name in methods
        for seed in TUNING_SEEDS
        for rate in METHODS[name].rates.get(kind, ())
    ]


def comparison(content, sets, methods, sizes, seeds, rate: float | None = None) -> list[tuple]:
    """The cells that are compared; all labels last and seed after seed, so that a part of them is a comparison too.
    With a `rate`, of the methods that have one."""
    few, whole = [size for size in sizes if size != "all"], [size for size in sizes if size == "all"]
    return [
        (kind, name, size, seed, chosen_rate(content, kind, name) if rate is None else rate)
        for part in (few, whole)
        for seed in seeds
        for kind in sets
        for size in part
        for name in methods
        if kind in METHODS[name].sets and (rate is None or METHODS[name].rates)
    ]


def chosen_rate(content, kind: str, name: str) -> float | None:
    """The learning rate of a method on a set, by `RULE`; the test rows have no say."""
    rates = METHODS[name].rates.get(kind, ())
    if not rates:
        return None

    def merit(rate: float) -> tuple[float, float]:
        places = [key(kind, name, TUNING_SIZE, seed, rate) for seed in TUNING_SEEDS]
        found = [content["grid"][place]["validation"] for place in places]
        return fmean(one["accuracy"] for one in found), -fmean(one["loss"] for one in found)

    return max(rates, key=merit)


def carry_out(content, part: str, cells: list[tuple]) -> None:
    """Measure the cells that are missing or were measured otherwise, and keep each as soon as it is there."""
    start, done = time.perf_counter(), 0
    for number, (kind, name, size, seed, rate) in enumerate(cells, 1):
        place = key(kind, name, size, seed, None if part == "cells" else rate)
        before = content.get(part, {}).get(place)
        if before and before["settings"] == settings(kind, name, size, rate, data_of(kind, size, seed)):
            continue
        found = measure(kind, name, size, seed, rate, tuning=part == "grid")
        if part == "grid":
            del found["test"], found["majority_class"]  # of a handful of rows
        content |= keep(part, place, found, rule=RULE)
        done += 1
        scores = found["validation" if part == "grid" else "test"]
        left = (time.perf_counter() - start) / done * (len(cells) - number)
        print(
            f"{number}/{len(cells)} {place}: accuracy {scores['accuracy']:.4f}, loss {scores['loss']:.4f}, "
            f"{found['run_s']:.0f} s (processor {found['cpu_s']:.0f} s), about {left / 60:.0f} min left",
            flush=True,
        )


if __name__ == "__main__":
    main()
