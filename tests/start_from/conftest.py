"""Two recipes that move the backbone, and their finished runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from hf_transfer import (
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LSTMHead,
    MLPHead,
    Recipe,
    TextBackbone,
    TextClassification,
    run,
)


@pytest.fixture(scope="module")
def text(mini_text, reviews):
    """A recipe that moves the encoder too: what is taken from its result must not be what it began with."""
    return Recipe(
        summary="texts",
        data=TextClassification(str(reviews), text="body", label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LSTMHead(hidden_size=4, num_layers=1),
        strategy=FullFineTune(),
        training=dict(learning_rate=1e-2, max_steps=3, per_device_train_batch_size=8),
    )


@pytest.fixture(scope="module")
def image(mini_image, photos):
    return Recipe(
        summary="images",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(mini_image), image_size=32),
        head=MLPHead((4,)),
        strategy=FullFineTune(),
        training=dict(learning_rate=1e-2, max_steps=2, per_device_train_batch_size=8),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, text, image):
    """Run a variant of one of the two recipes once, and return its folder."""
    made = {}

    def make(recipe, **changes) -> Path:
        changed = replace(recipe, **changes)
        key = repr(changed)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("finished") / "out"
            run(changed, made[key], name="mine/first")
        return made[key]

    return make
