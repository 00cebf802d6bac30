"""Pairs of domains: labelled source rows, target rows whose labels are for measuring alone."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGE_SIZE = 48  # the digits have 28 and 8 pixels
MAILS = 2000


@dataclass(frozen=True)
class Pair:
    """Two domains of one task.

    Args:
        name (`str`): as `--pairs` takes it.
        title (`str`): as the page says it.
        modality (`str`): `"text"` or `"image"`.
        specs (`Callable[[int], tuple]`): seed to the data of source and target.
        training (`dict`): fields of full fine-tuning on the source.
        further (`dict`): fields that a method which trains the whole net changes, going on from there.
    """

    name: str
    title: str
    modality: str
    specs: Callable[[int], tuple]
    training: dict[str, Any]
    further: dict[str, Any]

    def recipe(self, net: str, seed: int):
        """Return the recipe that learns from the source alone, on the package's embedded checkpoint.

        Args:
            net (`str`): `"frozen"` or `"tuned"`.
        """
        from dataclasses import replace

        from hf_transfer import (
            FrozenFeatures,
            FullFineTune,
            ImageBackbone,
            ImageClassification,
            LinearHead,
            Recipe,
            TextBackbone,
            TextClassification,
        )
        from hf_transfer.demo import demo_recipe

        parts = dict(head=LinearHead(), strategy=FrozenFeatures())
        if net == "tuned":
            fields = dict(eval_strategy="no", save_strategy="no", warmup_steps=0.1, **self.training)
            parts |= dict(strategy=FullFineTune(), training=fields)
        if self.modality == "text":
            start = demo_recipe(Recipe(self.title, TextClassification("demo"), TextBackbone("demo"), **parts))
        else:
            start = demo_recipe(Recipe(self.title, ImageClassification("demo"), ImageBackbone("demo"), **parts))
            start = replace(start, backbone=replace(start.backbone, image_size=IMAGE_SIZE))
        return replace(start, data=self.specs(seed)[0])


def _digits(source: str, target: str) -> Callable[[int], tuple]:
    def specs(seed: int):
        from hf_transfer import ImageClassification
        from hf_transfer.demo_domains import digit_folders

        folders = digit_folders(cache() / "digits")
        return tuple(ImageClassification(str(folders[name]), split_seed=seed) for name in (source, target))

    return specs


def _lengths(seed: int) -> tuple:
    """The SMS rows, short ones more likely in the source and long ones in the target: a covariate shift, since a row's
    label has no say in where it goes."""
    from workload import sms_messages, write_table

    from hf_transfer import TextClassification
    from hf_transfer.demo_domains import by_length

    folder = cache() / f"sms-by-length-{seed}"
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        partial.mkdir(parents=True)
        for name, rows in zip(("source", "target"), by_length(sms_messages(), seed), strict=True):
            write_table(partial / f"{name}.csv", rows)
        partial.rename(folder)
    return tuple(TextClassification(str(folder / f"{name}.csv"), split_seed=seed) for name in ("source", "target"))


def _mails(seed: int) -> tuple:
    """All SMS rows, and so many of SpamAssassin's mails, which are long to read."""
    from workload import sms_messages, write_table

    from hf_transfer import TextClassification

    from .mails import spam_assassin

    folder = cache() / "sms-mail"
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        partial.mkdir(parents=True)
        write_table(partial / "source.csv", sorted(set(sms_messages())))
        mails = random.Random(0).sample(spam_assassin(cache()), MAILS)
        write_table(partial / "target.csv", mails)
        partial.rename(folder)
    return tuple(TextClassification(str(folder / f"{name}.csv"), split_seed=seed) for name in ("source", "target"))


def cache() -> Path:
    """Return the folder that keeps what is made once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf-transfer-recipes" / "bench-domains"


# Fixed beforehand: the same rate and batch for both directions, epochs so that steps are about as many.
_IMAGES = dict(learning_rate=1e-3, per_device_train_batch_size=32)
RATES = {"image": 5e-4, "text": 3e-5}  # of the recipes adaptation/dann_image and dann_text

PAIRS = {
    pair.name: pair
    for pair in (
        Pair(
            "mnist-scikit", "MNIST to scikit-learn's digits", "image", _digits("mnist", "scikit"),
            {**_IMAGES, "num_train_epochs": 3}, dict(learning_rate=RATES["image"], num_train_epochs=1),
        ),
        Pair(
            "scikit-mnist", "scikit-learn's digits to MNIST", "image", _digits("scikit", "mnist"),
            {**_IMAGES, "num_train_epochs": 8}, dict(learning_rate=RATES["image"], num_train_epochs=3),
        ),
        Pair(
            "short-long", "SMS, short to long", "text", _lengths,
            dict(learning_rate=1e-4, per_device_train_batch_size=16, num_train_epochs=2),
            dict(learning_rate=RATES["text"], num_train_epochs=1),
        ),
        Pair(
            "sms-mail", "SMS to e-mails", "text", _mails,
            dict(learning_rate=1e-4, per_device_train_batch_size=16, num_train_epochs=1),
            dict(learning_rate=RATES["text"], num_train_epochs=1),
        ),
    )
}  # fmt: skip
NETS = ("frozen", "tuned")
