"""The maximum-likelihood problem of KLIEP.

With m_l the mean of k(., c_l) over the source and b_l = a_l m_l, the constraint becomes sum b = 1: b are the weights
of a mixture with the known densities L_tl = k(x_t, c_l) / m_l. That is solved by sequential quadratic programming
(mix-SQP: Kim, Carbonetto, Stephens & Anitescu 2020) in a few steps, where EM needs thousands.
"""

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from .kernel import median_gamma, rbf
from .weights import Weights, normalised

FOLDS = 5
WIDTHS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)  # times the median distance
TOLERANCE = 1e-7  # of the mean log-likelihood
MAX_STEPS = 200
TINY = 1e-300  # a density of zero for every centre: the logarithm must stay a number
ROWS = 4096  # of a kernel at a time


def estimate(source: np.ndarray, target: np.ndarray, gamma: float | None, centres: int) -> Weights:
    """Estimate the density ratio at the source rows; see [`KLIEP`]."""
    chosen = target[_spread(len(target), centres)]
    about = {}
    if gamma is None:
        gamma, about["grid"] = _cross_validate(source, target, centres)
    means, at_target = _kernel(source, chosen, gamma).mean(0), _kernel(target, chosen, gamma)
    near = means > 0  # a centre that no source row comes near to could only give the weight infinity
    shares, gap = mixture(at_target[:, near] / means[near])
    amounts = shares / means[near]
    ratio = at_target[:, near] @ amounts
    about |= {
        "gamma": gamma,
        "centres": int(near.sum()),
        "objective": float(np.log(np.maximum(ratio, TINY)).sum()),
        "gap": gap * len(target),
    }
    return normalised(_kernel(source, chosen[near], gamma) @ amounts, about)


def mixture(densities: np.ndarray) -> tuple[np.ndarray, float]:
    """Maximise mean_t log sum_l b_l L_tl over b >= 0 with sum b = 1.

    Args:
        densities (`np.ndarray` of shape `(rows, components)`): L.

    Returns:
        b, and by how much at most the mean could be higher: log of the largest mean_t L_tl / f_t.
    """
    rows, components = densities.shape
    # The scale of a row changes the objective by a constant; without it an outlier's densities underflow.
    densities = densities / np.maximum(densities.max(1, keepdims=True), TINY)
    shares = np.full(components, 1 / components)
    gap = np.inf
    for _ in range(MAX_STEPS):
        mixed = np.maximum(densities @ shares, TINY)
        scaled = densities / mixed[:, None]
        pull = scaled.mean(0)  # at the optimum at most 1, and 1 wherever there is a share
        gap = float(np.log(max(pull.max(), 1.0)))
        if gap <= TOLERANCE:
            break
        target = _newton(scaled / np.sqrt(rows), shares)
        shares = _search(densities, shares, target)
        shares = np.maximum(shares, 0) / np.maximum(shares, 0).sum()
        shares *= (densities / np.maximum(densities @ shares, TINY)[:, None]).mean(0)  # one EM step never does harm
    return shares, gap


def _newton(scaled: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Minimise the quadratic model of -mean log + sum b around `shares` over b >= 0, as non-negative least squares."""
    hessian = scaled.T @ scaled
    linear = 2 * hessian @ shares - 1
    factor = cholesky(hessian + 1e-10 * np.trace(hessian) / len(hessian) * np.eye(len(hessian)))
    return nnls(factor, solve_triangular(factor, linear, trans="T"), maxiter=50 * len(shares))[0]


def _search(densities: np.ndarray, shares: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Go from `shares` towards `target` as far as the objective falls."""

    def loss(point):
        return -np.log(np.maximum(densities @ point, TINY)).mean() + point.sum()

    here, size = loss(shares), 1.0
    while size > 1e-10:
        new = shares + size * (target - shares)
        if new.sum() > 0 and loss(new) <= here:
            return new
        size /= 2
    return shares


def _cross_validate(source, target, centres: int) -> tuple[float, dict[str, float]]:
    """Choose gamma by the mean log ratio of held-out target rows."""
    base = median_gamma(source, target)
    folds = np.arange(len(target)) % min(FOLDS, len(target))
    scores = {}
    for width in WIDTHS:
        gamma = base / width**2
        held_out = [
            _held_out(source, target[folds != one], target[folds == one], gamma, centres) for one in set(folds)
        ]
        scores[gamma] = float(np.mean(np.concatenate(held_out)))
    return max(scores, key=scores.get), {f"{gamma:.4g}": score for gamma, score in scores.items()}


def _held_out(source, kept, left_out, gamma: float, centres: int) -> np.ndarray:
    chosen = kept[_spread(len(kept), centres)] if len(kept) else left_out
    means, at_kept = _kernel(source, chosen, gamma).mean(0), _kernel(kept, chosen, gamma)
    near = means > 0
    if not near.any() or not len(kept):
        return np.full(len(left_out), np.log(TINY))
    shares, _ = mixture(at_kept[:, near] / means[near])
    ratio = _kernel(left_out, chosen[near], gamma) @ (shares / means[near])
    return np.log(np.maximum(ratio, TINY))


def _spread(count: int, wanted: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(wanted, count)).astype(np.int64)


def _kernel(rows: np.ndarray, centres: np.ndarray, gamma: float) -> np.ndarray:
    right = torch.from_numpy(centres)
    return np.concatenate([rbf(part, right, gamma).numpy() for part in torch.from_numpy(rows).split(ROWS)])
