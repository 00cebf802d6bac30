"""The time of weighing tens of thousands of source rows, method by method, into results/reweighting.json.

    python benchmarks/reweighting.py                 # a quarter of an hour of one core
    python benchmarks/reweighting.py --rows 20000    # one size

Features are drawn: 384 wide, of length 1, around 40 centres that the two domains visit with other frequencies, as
sentence vectors of two domains lie. What is measured is kept as soon as it is there.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # or a thread that waits for another would count as work

import numpy as np
from domains.cells import read, write
from harness import environment

RESULTS = Path(__file__).resolve().parent / "results" / "reweighting.json"
ROWS = (5_000, 20_000, 40_000)  # of the source; of the target half as many
WIDTH, CENTRES, SPREAD = 384, 40, 0.8
CLASSES, LABELLED = 2, 100  # TrAdaBoost reads labels: of the source, and of so many target rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", type=int, default=list(ROWS))
    asked = parser.parse_args()
    content = read(RESULTS)
    content["environment"] = environment()
    for rows in asked.rows:
        for name, found in measured(rows):
            content["cells"].setdefault(str(rows), {})[name] = found
            write(content, RESULTS)
            print(f"{rows:,} rows, {name}: {found}", flush=True)


def measured(rows: int):
    """Yield each method's name with `cpu_s`, over all cores, `wall_s`, `effective_sample_size` and what it tells."""
    from hf_transfer.reweighting import KLIEP, KMM, DensityRatio, TrAdaBoost

    source, its_labels, target, target_labels = domains(rows)
    for method in (DensityRatio(), KLIEP(), KMM(), TrAdaBoost()):
        few = slice(LABELLED) if isinstance(method, TrAdaBoost) else slice(None)
        wall, cpu = time.perf_counter(), time.process_time()
        found = method.fit(source, target[few], its_labels, target_labels[few])
        taken = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        told = {name: found.about[name] for name in ("objective", "gap", "steps", "landmarks") if name in found.about}
        yield (
            type(method).__name__,
            {
                **{name: round(value, 1) for name, value in taken.items()},
                "effective_sample_size": round(found.effective_sample_size, 1),
                **told,
            },
        )


def domains(rows: int, seed: int = 0):
    """Draw source and target rows; the class of a row is that of its centre, but for a tenth of the source rows."""
    draw = np.random.default_rng(seed)
    centres, classes = draw.normal(size=(CENTRES, WIDTH)), draw.integers(CLASSES, size=CENTRES)

    def some(count: int, tilt: float):
        shares = np.exp(tilt * np.linspace(-1, 1, CENTRES))
        chosen = draw.choice(CENTRES, count, p=shares / shares.sum())
        vectors = centres[chosen] + SPREAD * draw.normal(size=(count, WIDTH))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), classes[chosen]

    (source, its_labels), (target, target_labels) = some(rows, -1.0), some(rows // 2, 1.0)
    wrong = draw.random(rows) < 0.1
    return source, np.where(wrong, 1 - its_labels, its_labels), target, target_labels


if __name__ == "__main__":
    main()
