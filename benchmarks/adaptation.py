"""Across domains: what the cheap methods reach on a target without labels, and which one a criterion chooses.

    python benchmarks/adaptation.py              # hours on two cores
    python benchmarks/adaptation.py --report     # docs/adaptation.md again, without training

A stopped benchmark goes on where it was: cells that are done, with the settings they would have now, are kept.
`--pairs mnist-scikit`, `--nets tuned` and `--seeds 0` measure a part; `--trained` the methods that train with a
term alone (`--reach projection` or `whole`), `--time` the time of a table.
"""

import argparse
import os
import time

from domains import trained
from domains.cells import key, measure, read, settings, write
from domains.pairs import NETS, PAIRS
from domains.timing import measure_time
from harness import environment

SEEDS = (0, 1, 2)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # or a thread that waits for another would count as work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS), metavar="PAIR")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--trained", action="store_true", help="measure the methods that train with a term and stop")
    parser.add_argument("--reach", nargs="+", choices=trained.METHODS, default=list(trained.METHODS))
    parser.add_argument(
        "--time", action="store_true", help="measure the time of all methods over 10,000 rows and stop"
    )
    parser.add_argument("--report", action="store_true", help="write the page from what is there")
    asked = parser.parse_args()
    content = read()
    if not asked.report:
        content["environment"] = environment()
        if not asked.time and not asked.trained:
            cells = [(pair, net, seed) for seed in asked.seeds for pair in asked.pairs for net in asked.nets]
            carry_out(content, cells)
        if not asked.time:
            train(
                content, [(pair, reach, seed) for reach in asked.reach for seed in asked.seeds for pair in asked.pairs]
            )
        if asked.time or (not asked.trained and "time" not in content):
            content["time"] = measure_time()
            write(content)
            print(f"time: {content['time']}", flush=True)
    if content["cells"]:
        from domains.page import write_page

        write_page(content)


def carry_out(content, cells: list[tuple]) -> None:
    """Measure the cells that are missing or were measured otherwise, and keep each as soon as it is there."""
    start, done = time.perf_counter(), 0
    for number, cell in enumerate(cells, 1):
        before = content["cells"].get(key(*cell))
        if before and before["settings"] == settings(*cell):
            continue
        found = measure(*cell)
        content["cells"][key(*cell)] = found
        write(content)
        done += 1
        left = (time.perf_counter() - start) / done * (len(cells) - number)
        scores = ", ".join(f"{name} {one['value']:.3f}" for name, one in found["test"].items())
        print(f"{number}/{len(cells)} {key(*cell)}: {scores}; about {left / 60:.0f} min left", flush=True)


def train(content, groups: list[tuple[str, str, int]]) -> None:
    """Measure the methods that train with a term, where they are missing; keep each as soon as it is there."""
    kept = content.setdefault("trained", {})
    for pair, reach, seed in groups:

        def keep(method: str, found: dict, group=(pair, reach, seed)) -> None:
            kept[trained.key(*group, method)] = found
            write(content)
            test = found["test"]
            print(
                f"{trained.key(*group, method)}: {test['value']:.3f} ({test['baseline']:.3f}), {found['run_s']} s",
                flush=True,
            )

        missing = [
            method
            for method in trained.METHODS[reach]
            if kept.get(trained.key(pair, reach, seed, method), {}).get("settings")
            != trained.settings(pair, reach, seed, method)
        ]
        if missing:
            trained.measure(pair, reach, seed, missing, keep)


if __name__ == "__main__":
    main()
