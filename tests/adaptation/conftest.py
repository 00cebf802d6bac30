"""Two domains on the mini vocabulary: the same words say the same, and the target's texts are longer."""

import random
from pathlib import Path

import pytest
from mini import WORDS, make_texts, mini_text_checkpoint, write_csv

from hf_transfer import FrozenFeatures, LinearHead, Recipe, SourceTarget, TextBackbone, TextClassification


def make_long_texts(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return `(text, label)` pairs like [`make_texts`], with more of everything around the words that count."""
    draw = random.Random(seed)
    return [
        (f"{text} {' '.join(draw.choices(WORDS['filler'], k=8))}", label) for text, label in make_texts(count, seed)
    ]


@pytest.fixture(scope="session")
def plain_text(tmp_path_factory) -> Path:
    """A mini BERT without dropout: what it gives does not depend on how rows are dealt out."""
    folder = tmp_path_factory.mktemp("checkpoints") / "plain-bert"
    return mini_text_checkpoint(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.fixture(scope="session")
def places(tmp_path_factory) -> dict[str, Path]:
    """`source` and `test` with labels; `target` with them, `unlabelled` without, `partly` with some."""
    folder = tmp_path_factory.mktemp("domains")
    target = make_long_texts(60, seed=1)
    rows = {
        "source": make_texts(80),
        "target": target,
        "test": make_long_texts(40, seed=2),
        "partly": [(text, label if number < 20 else "") for number, (text, label) in enumerate(target)],
    }
    files = {name: write_csv(folder / f"{name}.csv", ["text", "label"], found) for name, found in rows.items()}
    files["unlabelled"] = write_csv(folder / "unlabelled.csv", ["text"], [(text,) for text, _ in target])
    return files


@pytest.fixture
def recipe_of(places, plain_text):
    """Make a recipe; what is not given is a linear layer on frozen features, and an unlabelled target."""

    def make(data=None, target="unlabelled", test="test", **changes) -> Recipe:
        spec = SourceTarget(
            TextClassification(str(places["source"])),
            target if isinstance(target, TextClassification) else TextClassification(str(places[target])),
            test=str(places[test]) if test in places else test,
            **(data or {}),
        )
        training = dict(use_cpu=True, report_to="none", **changes.pop("training", {}))
        values = dict(summary="two domains", head=LinearHead(), strategy=FrozenFeatures())
        return Recipe(
            data=spec,
            backbone=TextBackbone(str(plain_text), max_length=32),
            training=training,
            **{**values, **changes},
        )

    return make
