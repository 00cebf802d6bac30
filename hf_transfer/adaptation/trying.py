"""The cheap methods on two domains: features recorded once, every method tried, ranked without target labels."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from ..data import labels_of
from ..data.domains import UNLABELLED
from ..inputs import collator, encode
from ..metrics import METRICS
from ..opening import open_recipe
from ..order import Order
from ..processes import shared_state
from ..replay import replay_of
from ..scoring import probabilities
from ..training import Ground, record_features
from .arms import SOURCE_ONLY
from .cheap import UNLABELLED as WITHOUT
from .cheap import Tried, choose, try_methods
from .comparison import features_of
from .distance import LEAST, proxy_a_distance
from .features import record_domains
from .moving import coral, scale
from .verdict import judge

NAME = "accuracy"


@dataclass(frozen=True)
class Trial:
    """What came of the cheap methods.

    Args:
        tried (`list[Tried]`): the best by `criterion` first.
        criterion (`str`): what they are ranked by; no target label is in it.
        accuracy (`dict[str, float]`): of each method on the target's test rows, where there are any: to be looked at,
            not to choose by.
        verdict (`str`, *optional*): there too, whether the first did any good, in words.
        a_distance (`dict[str, float]`): between the domains as they are recorded (`"before"`), and with the source
            moved by scale and by coral; empty where there are too few rows.
        seconds (`float`): of the methods alone.
        features_s (`float`): of recording features.
        notes (`tuple[str, ...]`): on the rows.
    """

    tried: list[Tried]
    criterion: str
    accuracy: dict[str, float]
    verdict: str | None
    a_distance: dict[str, float]
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
                vectors["train"], labels_of(domains.train),
                vectors["validation"], labels_of(domains.validation),
                vectors["target"], _given(domains), say=say,
            )  # fmt: skip
        first = choose(tried, criterion)
        accuracy, verdict = _measured(tried, first, opened) if domains.tests_target else ({}, None)
        ranked = sorted(tried, key=lambda one: (one is not first, -one.criteria[criterion]))
        seconds = order.clock.seconds()
        apart = distances(vectors["train"], vectors["target"])
        return Trial(
            ranked, criterion, accuracy, verdict, apart, seconds["methods_s"], seconds.get("features_s", 0.0),
            domains.notes,
        )  # fmt: skip


def _measured(tried, first: Tried, opened) -> tuple[dict[str, float], str]:
    """The accuracy of each method on the target's test rows, and what the first does there for source-only."""
    backbone, domains = opened.plans[0].recipe.backbone, opened.splits
    reader = SimpleNamespace(
        model=opened.model, backbone=backbone, processor=opened.processor,
        collate=collator(backbone, opened.processor),
    )  # fmt: skip
    rows, truth = features_of(reader, domains.test), labels_of(domains.test).astype(np.float64)
    logits = {one.name: one.logits(rows) for one in tried}
    kind, metric = domains.labels.problem_type, METRICS[NAME]()
    accuracy = {name: float(metric.value(probabilities(said, kind), truth)) for name, said in logits.items()}
    return accuracy, judge(logits[first.name], logits[SOURCE_ONLY], truth)["text"]


def distances(source, target) -> dict[str, float]:
    """Return the proxy A-distance of features of shape `(rows, width)`, before and after the source is moved."""
    if min(len(source), len(target)) < LEAST:
        return {}
    moved = {"before": source, "scale": scale(source, target), "coral": coral(source, target)}
    return {name: proxy_a_distance(rows, target) for name, rows in moved.items()}


def _given(domains) -> np.ndarray | None:
    """The target labels that were read, if any."""
    labels = labels_of(domains.target)
    return np.where(labels == UNLABELLED, WITHOUT, labels) if len(domains.labelled) else None
