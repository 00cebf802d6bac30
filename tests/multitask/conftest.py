"""Two tasks on the mini vocabulary: the class of a text, and how alike the texts of a pair are."""

import random
from pathlib import Path

import pytest
from mini import WORDS, make_texts, mini_text_checkpoint, write_csv

from hf_transfer import FullFineTune, Recipe, TaskMixture, TextBackbone, TextClassification


def make_pairs(count: int, seed: int = 1) -> list[tuple[str, str, float]]:
    """Return pairs of texts with the share of words that they have in common."""
    draw, rows = random.Random(seed), []
    words = [word for group in WORDS.values() for word in group]
    for _ in range(count):
        first = draw.choices(words, k=6)
        kept = draw.randint(0, 6)
        rows.append((" ".join(first), " ".join([*first[:kept], *draw.choices(words, k=6 - kept)]), kept / 6))
    return rows


@pytest.fixture(scope="session")
def plain_text(tmp_path_factory) -> Path:
    """A mini BERT without dropout: what it gives does not depend on how rows are dealt out."""
    folder = tmp_path_factory.mktemp("checkpoints") / "plain-bert"
    return mini_text_checkpoint(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.fixture(scope="session")
def tasks(tmp_path_factory) -> dict[str, TextClassification]:
    place = tmp_path_factory.mktemp("tasks")
    mood = write_csv(place / "mood.csv", ["text", "label"], make_texts(120))
    alike = write_csv(place / "alike.csv", ["first", "second", "label"], make_pairs(60))
    return {
        "mood": TextClassification(str(mood)),
        "alike": TextClassification(str(alike), text="first", text_pair="second", problem_type="regression"),
    }


@pytest.fixture
def recipe_of(tasks, plain_text):
    """Make a recipe of both tasks, or of those named; what is not given is full fine-tuning for two short epochs."""

    def make(*names: str, mixture=None, checkpoint=plain_text, **changes) -> Recipe:
        data = TaskMixture({name: tasks[name] for name in names or tasks}, **(mixture or {}))
        training = dict(num_train_epochs=2, per_device_train_batch_size=8, learning_rate=1e-3, report_to="none")
        values = dict(
            summary="two tasks", data=data, backbone=TextBackbone(checkpoint, max_length=32), strategy=FullFineTune()
        )
        return Recipe(**{**values, **changes, "training": {**training, **changes.pop("training", {})}})

    return make
