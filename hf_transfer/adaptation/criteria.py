"""Criteria that rank models without a target label: each is one number, and higher is better.

None of them is always right (Musgrave, Belongie & Lim 2022), so that several are shown and one is chosen beforehand.
"""

import numpy as np

MOST = 3000  # rows whose neighbourhoods are looked at
ROWS = 512  # of a similarity matrix at a time


def source_risk(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return minus the mean cross-entropy (nats) of held-out source rows.

    Args:
        logits (`np.ndarray` of shape `(rows, classes)`), labels (`np.ndarray` of shape `(rows,)`): class ids.
    """
    return float(_log_softmax(logits)[np.arange(len(labels)), labels].mean())


def weighted_source_risk(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return minus the mean cross-entropy of held-out source rows, each weighted by p_t(x) / p_s(x)
    (importance-weighted cross-validation: Sugiyama, Krauledat & Mueller 2007). Weights are brought to mean 1.

    Args:
        weights (`np.ndarray` of shape `(rows,)`): of these very rows.
    """
    return float(np.average(_log_softmax(logits)[np.arange(len(labels)), labels], weights=weights))


def certainty(logits: np.ndarray) -> float:
    """Return minus the mean entropy (nats) of predictions for target rows (Morerio, Cavazza & Murino 2018)."""
    return -float(_entropy(logits).mean())


def mutual_information(logits: np.ndarray) -> float:
    """Return H(mean p) - mean H(p) in nats over target rows: certain of each, and of all classes (InfoMax: Bridle,
    Heading & MacKay 1991; Shi & Sha 2012)."""
    mean = np.exp(_log_softmax(logits)).mean(0)
    return float(-(mean * np.log(np.maximum(mean, 1e-300))).sum() - _entropy(logits).mean())


def class_separation(logits: np.ndarray, temperature: float = 2.5) -> float:
    """Return minus the class confusion of target rows (MCC: Jin et al. 2020, equations 2 to 6), from -1 to 0."""
    softened = np.asarray(logits, np.float64) / temperature
    shares = np.exp(_log_softmax(softened))
    weights = 1 + np.exp(-_entropy(softened))
    confusion = (shares * (weights / weights.mean())[:, None]).T @ shares
    sums = confusion.sum(1)
    # A class that nobody is given any of is confused with none.
    own = np.where(sums > 0, confusion.diagonal() / np.where(sums > 0, sums, 1), 1.0)
    return float(own.mean() - 1)


def neighbourhood_density(logits: np.ndarray, temperature: float = 0.05) -> float:
    """Return the soft neighbourhood density (SND: Saito et al. 2021, equations 1 and 2): the mean entropy (nats) of
    the similarities of each target row's class probabilities with those of the others. It is high where rows lie
    together in large groups.

    Of more than 3,000 rows, as many at equal steps are looked at.
    """
    shares = np.exp(_log_softmax(logits))
    shares = shares[np.linspace(0, len(shares) - 1, min(MOST, len(shares))).astype(np.int64)]
    shares /= np.linalg.norm(shares, axis=1, keepdims=True)
    if len(shares) < 3:
        return 0.0  # one neighbour is all the neighbourhood
    found = []
    for start in range(0, len(shares), ROWS):
        similar = shares[start : start + ROWS] @ shares.T / temperature
        others = np.ones(similar.shape, bool)
        others[np.arange(len(similar)), start + np.arange(len(similar))] = False  # not with itself
        found.append(_entropy(similar[others].reshape(len(similar), -1)))
    return float(np.concatenate(found).mean())


def _log_softmax(logits) -> np.ndarray:
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _entropy(logits) -> np.ndarray:
    logs = _log_softmax(logits)
    return -(np.exp(logs) * logs).sum(1)
