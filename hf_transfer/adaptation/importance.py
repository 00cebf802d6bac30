"""Importance weights of held-out source rows: p_t(x) / p_s(x) by a classifier that has not seen them."""

import numpy as np

from .fitting import fit_layer

CLIP = 20.0
HELD_OUT = 5  # every fifth row of each domain chooses the classifier's penalty


def importance(source: np.ndarray, target: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the density ratio at `rows` (Bickel, Brueckner & Scheffer 2009), 20 at most and above 0.

    Unlike [`DensityRatio`], which weighs the very rows it learns from, this judges rows that were kept aside.

    Args:
        source (`np.ndarray` of shape `(n_s, width)`), target (`np.ndarray` of shape `(n_t, width)`): features that the
            classifier of domains learns from.
        rows (`np.ndarray` of shape `(n, width)`): other source rows.
    """
    parts = [[np.delete(domain, np.s_[::HELD_OUT], 0), domain[::HELD_OUT]] for domain in (source, target)]
    learnt, choice = (np.concatenate(part) for part in zip(*parts, strict=True))
    domains = [np.repeat([0, 1], [len(parts[0][part]), len(parts[1][part])]) for part in (0, 1)]
    logits = fit_layer(learnt, domains[0], choice, domains[1], 2).logits(rows).astype(np.float64)
    ratio = logits[:, 1] - logits[:, 0] + np.log(len(parts[0][0]) / len(parts[1][0]))
    # All weights 0 would be no weights; where no row looks like the target, all count alike.
    return np.exp(np.clip(ratio, -50, np.log(CLIP)))
