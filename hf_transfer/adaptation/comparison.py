"""What is measured on both domains, of a model and of what it is compared with."""

from pathlib import Path

import numpy as np
import torch

from ..data import labels_of
from ..inference import plan_batches
from ..inputs import encode
from ..scoring import compute_metrics
from ..taps import LastLayerInput
from .distance import LEAST, proxy_a_distance
from .features import MOVES
from .picture import Place, draw_domains
from .verdict import judge

MOST = 1000  # rows of each domain whose features are looked at
PICTURE = "domains.png"


def compare(opened, predictor, others: dict, told: list[dict], folder: Path) -> dict:
    """Measure the model and the others on both domains, and look at where their features lie.

    Args:
        opened (`Opened`): with the rows of both domains.
        predictor (`Predictor`): the saved model.
        others (`dict[str, Predictor]`): what it is compared with, by name.
        told (`list[dict]`): of the stages.
        folder (`Path`): where the picture goes.

    Returns:
        `dict`: `scores`, by model (`"model"` and the others) and domain (`"source"`, and `"target"` where it has
        labelled test rows) the metrics; `verdict` (see [`judge`]) where both are there; `a_distance`, `before` and
        `after`; `selection`, which rows chose the model; `weighting`; `picture`, a file's name.
    """
    domains, metrics = opened.splits, opened.recipe.metrics
    tests = {"source": domains.source_test} | ({"target": domains.test} if domains.tests_target else {})
    logits, scores = {}, {}
    for name, one in {**others, "model": predictor}.items():
        logits[name] = {domain: one.logits(rows.remove_columns("label")) for domain, rows in tests.items()}
        scores[name] = {
            domain: compute_metrics(logits[name][domain], labels_of(rows), domains.labels.problem_type, metrics)
            for domain, rows in tests.items()
        }
    found = {"scores": scores, "selection": told[-1]["selection"]}
    if "source_only" in others and domains.tests_target:
        truth = labels_of(domains.test)
        found["verdict"] = judge(logits["model"]["target"], logits["source_only"]["target"], truth)
    weighting = next((one["weighting"] for one in told if "weighting" in one), None)
    if weighting:
        found["weighting"] = weighting
    return found | _where(opened, predictor, others.get("source_only", predictor), folder)


def _where(opened, predictor, before, folder: Path) -> dict:
    """How far the domains lie apart, before and after, and a picture of it."""
    domains, align = opened.splits, opened.recipe.data.align
    rows = {"source": _some(domains.source_test), "target": _some(domains.target)}
    classes = labels_of(rows["source"])
    at_first = {name: features_of(before, part) for name, part in rows.items()}
    places, distances = {"before": at_first}, {}
    if before is not predictor or align != "none":
        after = {name: features_of(predictor, part) for name, part in rows.items()}
        if align != "none":
            after["source"] = MOVES[align](after["source"], after["target"])(after["source"])
        places["after"] = after
    if min(map(len, rows.values())) < LEAST:
        return {"a_distance": {}, "picture": None}
    for name, place in places.items():
        distances[name] = proxy_a_distance(place["source"], place["target"])
    drawn = {name: Place(place["source"], classes, place["target"]) for name, place in places.items()}
    draw_domains(drawn, folder / PICTURE, domains.labels.names)
    return {"a_distance": distances, "picture": PICTURE}


def _some(rows):
    """At most so many rows, at equal steps."""
    if len(rows) <= MOST:
        return rows
    return rows.select(np.linspace(0, len(rows) - 1, MOST).astype(int))


@torch.inference_mode()
def features_of(predictor, rows) -> np.ndarray:
    """Return what the last layer of a model reads of each row, of shape `(rows, width)`, float32."""
    model, device = predictor.model.eval(), next(predictor.model.parameters()).device
    encoded = encode(predictor.backbone, predictor.processor, rows.remove_columns("label"))
    batches, found, watcher = plan_batches(encoded, device.type), [None] * len(rows), LastLayerInput(model)
    try:
        for numbers in batches:
            batch = predictor.collate([encoded[int(row)] for row in numbers])
            model(**{name: value.to(device) for name, value in batch.items()})
            for row, feature in zip(numbers, watcher.take().float().cpu().numpy(), strict=True):
                found[row] = feature
    finally:
        watcher.remove()
    return np.stack(found)


def extremes(rows, weighting: dict | None) -> dict[str, list[str]]:
    """Return the heaviest and lightest of the source's train rows in words: a text's beginning, an image's number. For
    the screen: results.json is pushed with the model, and the rows may not be anybody's to publish."""
    if not weighting:
        return {}

    def words(number: int) -> str:
        if "text" not in rows.column_names:
            return f"train image {number + 1}"
        text = " ".join(rows[number]["text"].split())
        return text if len(text) <= 60 else f"{text[:57]}..."

    return {kind: [words(number) for number, _ in weighting[kind]] for kind in ("heaviest", "lightest")}
