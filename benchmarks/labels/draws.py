"""Rows of the embedded sets: one test part for all, and from the rest the same draws for every method."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache

import numpy as np

VALIDATION_AT_MOST = 40  # rows per class, so that validation costs little where there are many labels
SHARE_OF_ALL = 0.1  # of the pool, cut as validation where all labels are used


@dataclass(frozen=True)
class Draw:
    """Positions in the pool.

    Args:
        train, validation (`list[int]`): ascending.
    """

    train: list[int]
    validation: list[int]


def draw(classes, size, seed: int) -> Draw:
    """Draw train and validation rows, class by class; fewer labels are a part of more, and the two never meet.

    Args:
        classes (`Sequence[int]`): class of each row of the pool.
        size (`int` or `"all"`): train rows of each class. Validation has as many, at most 40 of each class; of
            `"all"` a tenth of each class is validation and the rest is train.
        seed (`int`): of the draw.
    """
    members = defaultdict(list)
    for position, label in enumerate(classes):
        members[label].append(position)
    train, validation = [], []
    for label in sorted(members):
        # A generator for each class: how many rows another class has changes nothing.
        order = np.random.default_rng([seed, label]).permutation(members[label]).tolist()
        held_out = round(SHARE_OF_ALL * len(order)) if size == "all" else min(size, VALIDATION_AT_MOST)
        wanted = len(order) - held_out if size == "all" else size
        if wanted + held_out > len(order):
            raise SystemExit(f"class {label} has {len(order)} rows; {wanted} for train and {held_out} for validation")
        # Validation from the end of the order, train from its start.
        train += order[:wanted]
        validation += order[len(order) - held_out :]
    return Draw(sorted(train), sorted(validation))


@cache
def rows(kind: str):
    """Return `(pool, test)` of the embedded set: what the demo trains on and validates with, and its test rows."""
    import datasets

    from hf_transfer import ImageBackbone, ImageClassification, Recipe, TextBackbone, TextClassification
    from hf_transfer.data import load_data
    from hf_transfer.demo import demo_recipe

    backbone, data = (
        (TextBackbone("demo"), TextClassification("demo"))
        if kind == "text"
        else (ImageBackbone("demo"), ImageClassification("demo"))
    )
    splits = load_data(demo_recipe(Recipe("rows", data, backbone)).data, progress=False)
    return datasets.concatenate_datasets([splits.train, splits.validation]), splits.test


def data_of(kind: str, size, seed: int, tuning: bool = False):
    """Return the data of a recipe for one draw; when tuning, a few other rows of the pool stand for the test rows."""
    from hf_transfer import ImageClassification, TextClassification

    pool, test = rows(kind)
    drawn = draw(pool["label"], size, seed)
    spec = TextClassification if kind == "text" else ImageClassification
    if tuning:
        test = pool.select(sorted(set(range(len(pool))) - {*drawn.train, *drawn.validation})[::100])
    return spec(pool.select(drawn.train), validation=pool.select(drawn.validation), test=test)
