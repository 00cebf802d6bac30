"""A weight for each source row, found on recorded features and used by whatever is trained."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..data import labels_of
from ..processes import computed_by_main

BINS = 8


@dataclass(frozen=True)
class Weighting:
    """Weights of the source's rows, each of mean 1.

    Args:
        train (`np.ndarray` of shape `(train rows,)`), validation (`np.ndarray` of shape `(validation rows,)`).
        told (`dict`): `kind`, `effective_sample_size` and `rows` of train; `histogram`, `[from, to, rows]` of each
            bin; `heaviest` and `lightest`, pairs of a train row's number and its weight; what the method says.
    """

    train: np.ndarray
    validation: np.ndarray
    told: dict


def weigh(plan, recording, ground) -> Weighting | None:
    """Weigh the source's rows as the recipe says; `None` where it does not."""
    method = plan.recipe.data.weights
    if method is None:
        return None
    ground.order.say(f"  weighing {len(ground.splits.train)} source rows: {type(method).__name__}")
    with ground.order.clock("weigh"):
        return computed_by_main(
            ground.order.state, partial(_weigh, method, recording.parts, ground.splits), "the weighting"
        )


def _weigh(method, parts: dict, splits) -> Weighting:
    from ..reweighting import Weights

    source = np.concatenate([parts[name].vectors() for name in ("train", "validation")])
    labels = np.concatenate([labels_of(splits.train), labels_of(splits.validation)])
    target, given = parts["target"].vectors(), labels_of(splits.target)
    if getattr(method, "needs_labels", False):
        target, given = target[given >= 0], given[given >= 0]
        found = method.fit(source, target, labels, given)
    else:
        found = method.fit(source, target)
    count = len(parts["train"])
    train, validation = found.values[:count], found.values[count:]
    # Weights of mean 1 in each part; all 0 on a few validation rows would leave nothing to choose by.
    own = Weights(train / train.mean())
    validation = validation / validation.mean() if validation.mean() > 0 else np.ones_like(validation)
    heavy, light = own.extremes()
    counts, edges = np.histogram(own.values, BINS)
    return Weighting(
        own.values,
        validation,
        {
            "kind": type(method).__name__,
            "rows": count,
            "effective_sample_size": own.effective_sample_size,
            "histogram": [[float(a), float(b), int(n)] for a, b, n in zip(edges, edges[1:], counts, strict=False)],
            "heaviest": [[row, float(own.values[row])] for row in heavy],
            "lightest": [[row, float(own.values[row])] for row in light],
            **{name: value for name, value in found.about.items() if isinstance(value, int | float)},
        },
    )
