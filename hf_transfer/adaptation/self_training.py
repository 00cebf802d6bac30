"""Self-training of a linear layer: what it is most certain of on the target is learnt as if it were labelled."""

import numpy as np

from .fitting import Layer, fit_layer

ROUNDS = 5


def self_train(layer: Layer, source, source_labels, target, validation, validation_labels, rounds=ROUNDS) -> Layer:
    """Fit again and again on the source together with the target's own pseudo-labels (Lee 2013), of each predicted
    class the most certain rows, so that easy classes do not crowd out the others; their share grows from round to
    round until all rows are in (class-balanced self-training: Zou et al. 2018). The domains count equally.

    Args:
        layer (`Layer`): what to begin with; its penalty is kept.
        source (`np.ndarray` of shape `(n_s, width)`), target (`np.ndarray` of shape `(n_t, width)`): features that one
            layer can read, so the source moved where it has to be.
        source_labels (`np.ndarray` of shape `(n_s,)`): class ids.
        validation, validation_labels: source rows.
        rounds (`int`): how often.
    """
    classes = len(layer.bias)
    for number in range(1, rounds + 1):
        chosen, pseudo = certain_rows(layer.logits(target), number / rounds)
        rows, labels = np.concatenate([source, target[chosen]]), np.concatenate([source_labels, pseudo])
        weights = np.repeat([1 / len(source), 1 / len(chosen)], [len(source), len(chosen)])
        layer = fit_layer(rows, labels, validation, validation_labels, classes, weights * len(rows) / 2, l2=layer.l2)
    return layer


def certain_rows(logits: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are the most certain of their predicted class, this share of each class rounded up, and the
    predicted classes of those rows."""
    logs = logits - logits.max(1, keepdims=True)
    certain, predicted = -np.log(np.exp(logs).sum(1)), logits.argmax(1)  # the log of the largest probability
    chosen = []
    for label in np.unique(predicted):
        members = np.flatnonzero(predicted == label)
        order = members[np.argsort(-certain[members], kind="stable")]
        chosen.append(order[: int(np.ceil(share * len(members)))])
    chosen = np.sort(np.concatenate(chosen))
    return chosen, predicted[chosen]
