"""The cheap methods on two domains: features recorded once, every method tried, ranked without target labels."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ..data.domains import UNLABELLED
from ..inputs import collator, encode
from ..metrics import METRICS
from ..opening import open_recipe
from ..order import Order
from ..processes import shared_state
from ..replay import replay_of
from ..scoring import probabilities
from ..training import Ground, record_features
from .cheap import UNLABELLED as WITHOUT
from .cheap import Tried, choose, try_methods
from .comparison import features_of
from .features import record_domains

NAME = "accuracy"


@dataclass(frozen=True)
class Trial:
    """What came of the cheap methods.

    Args:
        tried (`list[Tried]`): the best by `criterion` first.
        criterion (`str`): what they are ranked by; no target label is in it.
        accuracy (`dict[str, float]`): of each method on the target's test rows, where there are any: to be looked at,
            not to choose by.
        seconds (`float`): of the methods alone.
        features_s (`float`): of recording features.
        notes (`tuple[str, ...]`): on the rows.
    """

    tried: list[Tried]
    criterion: str
    accuracy: dict[str, float]
    seconds: float
    features_s: float
    notes: tuple[str, ...]


def try_cheap(recipe, criterion: str, say: Callable[[str], None], trust_remote_code: bool = False) -> Trial:
    """Record the features of both domains once and try every cheap method on them.

    Args:
        recipe (`Recipe`): of a [`SourceTarget`], with a linear head on a frozen backbone.
        criterion (`str`): one of `cheap.CRITERIA`.
        say: told one line now and then.

    Raises:
        `UserError`: whatever is wrong with the rows or the checkpoint.
    """
    with tempfile.TemporaryDirectory() as place:
        order = Order(Path(place), None, False, False, trust_remote_code, None, "auto", (), shared_state(), say)
        opened = open_recipe(recipe, order)
        plan, domains, model = opened.plans[0], opened.splits, opened.model
        backbone = plan.recipe.backbone
        ground = Ground(order, opened.processor, domains, False)
        rows = {"train": domains.train, "validation": domains.validation, "target": domains.target}
        encoded = {name: encode(backbone, opened.processor, part) for name, part in rows.items()}
        recording = record_domains(plan, model, replay_of(model), encoded, ground, partial(record_features, plan))
        vectors = {name: part.vectors() for name, part in recording.parts.items()}
        with order.clock("methods"):
            tried = try_methods(
                vectors["train"], np.asarray(domains.train["label"]),
                vectors["validation"], np.asarray(domains.validation["label"]),
                vectors["target"], _given(domains), say=say,
            )  # fmt: skip
        accuracy = {}
        if domains.tests_target:
            reader = SimpleNamespace(
                model=model, backbone=backbone, processor=opened.processor,
                collate=collator(backbone, opened.processor),
            )  # fmt: skip
            tested, truth = features_of(reader, domains.test), np.asarray(domains.test["label"], np.float64)
            kind = domains.labels.problem_type
            for one in tried:
                said = probabilities(one.logits(tested), kind)
                accuracy[one.name] = float(METRICS[NAME]().value(said, truth))
        first = choose(tried, criterion)
        ranked = sorted(tried, key=lambda one: (one is not first, -one.criteria[criterion]))
        seconds = order.clock.seconds()
        return Trial(ranked, criterion, accuracy, seconds["methods_s"], seconds.get("features_s", 0.0), domains.notes)


def _given(domains) -> np.ndarray | None:
    """The target labels that were read, if any."""
    labels = np.asarray(domains.target["label"])
    return np.where(labels == UNLABELLED, WITHOUT, labels) if len(domains.labelled) else None
