"""What worker processes that decode images bring to fine-tuning, on photos and on digits.

    python benchmarks/decoding.py            # a quarter of an hour on two idle cores

The embedded net, everything trained by `run` itself, with 0, 1 and 2 workers in turn: on photos (JPEG files of 480 x
360 pixels, cut at random from scikit-learn's two sample pictures, fed at 96 pixels) and on the embedded digits. Rows
per second of the training alone, workers' start included, go to benchmarks/results/decoding.json, round by round.
`hf_transfer/workers.py` takes from it how many workers this many cores get where a CPU trains: the most rows per
second on photos, where digits lose less than 3%; else none.
"""

import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from harness import environment, write_results
from PIL import Image

from hf_transfer import ImageClassification, run
from hf_transfer.demo import demo_recipe
from hf_transfer.recipe_files import load_recipe

RESULTS = Path(__file__).resolve().parent / "results" / "decoding.json"
WORKERS, ROUNDS = (0, 1, 2), 5
PHOTOS, SIZE, BATCH, STEPS = 600, (480, 360), 32, 30
LOSS = 0.97  # of the rows per second without workers: what digits may fall to


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Nothing is recorded: the net trains.
        recipes = {"photos": photos(write_photos(Path(folder) / "photos")), "digits": digits()}
        rates = {name: {workers: [] for workers in WORKERS} for name in recipes}
        for number in range(ROUNDS + 1):  # the first one warms up the disk
            for name, recipe in recipes.items():
                for workers in WORKERS[:: 1 if number % 2 else -1]:
                    rate = trained(recipe, workers, Path(folder) / f"out-{name}-{workers}-{number}")
                    rates[name][workers] += [rate] if number else []
    for name, found in rates.items():
        line = ", ".join(f"{workers} workers {statistics.median(all_):.1f}/s" for workers, all_ in found.items())
        print(f"{name}: {line}")
    found = {"cores": len(os.sched_getaffinity(0)), "best": best(rates), "batch": BATCH, "steps": STEPS}
    content = {**found, "unit": "rows per second", "rates": rates, "environment": environment()}
    write_results(RESULTS, content)
    print(f"best for {found['cores']} cores: {found['best']} workers")


def best(rates: dict[str, dict[int, list[float]]]) -> int:
    """Return how many workers to take: by pairs of the same round, since the machine drifts."""
    gain = {
        name: {
            workers: statistics.median(one / other for one, other in zip(found[workers], found[0], strict=True))
            for workers in WORKERS
        }
        for name, found in rates.items()
    }
    allowed = [workers for workers in WORKERS if gain["digits"][workers] >= LOSS]
    return max(allowed, key=lambda workers: gain["photos"][workers])


def trained(recipe, workers: int, folder: Path) -> float:
    """Train for a few steps by the package's own path; return the rows per second of the training alone."""
    training = {**recipe.training, "dataloader_num_workers": workers, "max_steps": STEPS}
    result = run(replace(recipe, training=training), folder, farewell=False)
    return result.data["throughput"]["train_samples_per_s"]


def digits():
    recipe = demo_recipe(load_recipe("vision/full_finetune"))
    # One evaluation at the end is part of a run, and no part of what is measured.
    training = dict(per_device_train_batch_size=BATCH, eval_strategy="no", save_strategy="no", logging_strategy="no")
    return replace(recipe, training=training)


def photos(folder: Path):
    recipe = digits()
    backbone = replace(recipe.backbone, augmentation="crop_flip")
    return replace(recipe, data=ImageClassification(str(folder)), backbone=backbone)


def write_photos(folder: Path) -> Path:
    """Cut photos of two classes at random from scikit-learn's two sample pictures, and write them as JPEG files."""
    from sklearn.datasets import load_sample_images

    draw, (width, height) = np.random.default_rng(0), SIZE
    for name, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(PHOTOS // 2):
            top, left = (int(draw.integers(0, pixels.shape[axis] - side)) for axis, side in enumerate((height, width)))
            cut = pixels[top : top + height, left : left + width]
            Image.fromarray(cut).save(folder / name / f"{number:03}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    main()
