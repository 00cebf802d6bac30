"""How far two domains lie apart."""

import numpy as np

from ..errors import UserError
from ..reweighting.features import checked
from .fitting import fit_layer

MOST = 3000  # rows of each domain that are looked at
LEAST = 5


def proxy_a_distance(source, target, seed: int = 0) -> float:
    """Return 2 (1 - 2 err), err the error of a linear classifier of domains on rows it has not seen (Ben-David et al.
    2007, section 4): 0 where it is no better than a coin, 2 where it is never wrong.

    As many rows of each domain are drawn, 3,000 at most, so that one half is chance. Of them, 40% are learnt from, 20%
    choose the classifier's penalty, and 40% give the error.

    Args:
        source (`np.ndarray` of shape `(n_s, width)`), target (`np.ndarray` of shape `(n_t, width)`): features from the
            same backbone.
        seed (`int`): of the draw.

    Raises:
        `UserError`: features that do not fit each other, or fewer than five rows of a domain.
    """
    source, target = checked(source, target, "float32")
    count = min(len(source), len(target), MOST)
    if count < LEAST:
        raise UserError(f"a proxy A-distance needs {LEAST} rows of each domain; found {len(source)} and {len(target)}")
    draw = np.random.default_rng(seed)
    drawn = [rows[draw.permutation(len(rows))[:count]] for rows in (source, target)]
    ends = [round(0.4 * count), round(0.6 * count)]
    train, choice, test = (np.concatenate(parts) for parts in zip(*(np.split(d, ends) for d in drawn), strict=True))
    domains = [np.repeat([0, 1], len(part) // 2) for part in (train, choice, test)]
    layer = fit_layer(train, domains[0], choice, domains[1], 2)
    error = float((layer.logits(test).argmax(1) != domains[2]).mean())
    return max(0.0, 2 * (1 - 2 * error))
