"""The quadratic program of kernel mean matching, for tens of thousands of rows.

Accelerated projected gradients (FISTA: Beck & Teboulle 2009; restarted as O'Donoghue & Candes 2015) need one product
with the kernel matrix per step. Being a convex problem over a simple set, it comes with a certificate: a linear
function bounds the objective from below (Frank & Wolfe 1956), so that how far off the answer can be is known.
Where the matrix is too large to be kept, the search goes by one of low rank; the whole one certifies what it finds.
"""

import numpy as np

from .kernel import Kernel, median_gamma
from .nystrom import LowRankKernel
from .weights import Weights, normalised

TOLERANCE = 1e-5  # of the objective: the gap at which the search ends
LOW_RANK_TOLERANCE = 1e-4  # a closer search would fit what the low rank leaves out
MAX_STEPS = 3000
LOOK_EVERY = 10  # steps between two looks at the gap


def match_means(source: np.ndarray, target: np.ndarray, gamma: float | None, bound: float) -> Weights:
    """Solve for the weights; see [`KMM`]."""
    gamma = median_gamma(source, target) if gamma is None else gamma
    count = len(source)
    slack = count * (np.sqrt(count) - 1) / np.sqrt(count)
    feasible = Feasible(count - slack, count + slack, bound)
    kernel = Kernel(source, source, gamma)
    kappa = Kernel(source, target, gamma) @ np.ones(len(target)) * (count / len(target))
    searched, tolerance = (kernel, TOLERANCE) if kernel.kept else (LowRankKernel(source, gamma), LOW_RANK_TOLERANCE)
    weights, steps = minimise(searched, kappa, feasible, np.ones(count), tolerance)
    objective, gap = certificate(weights, kernel @ weights, kappa, feasible)
    about = {"gamma": gamma, "objective": objective, "gap": gap, "steps": steps, "sum": float(weights.sum())}
    return normalised(weights, about if kernel.kept else {**about, "landmarks": searched.landmarks})


class Feasible:
    """Weights from 0 to `bound` whose sum is from `least` to `most`."""

    def __init__(self, least: float, most: float, bound: float):
        self.least, self.most, self.bound = least, most, bound

    def nearest(self, point: np.ndarray) -> np.ndarray:
        """Return the feasible weights that are nearest to `point`."""
        clipped = np.clip(point, 0, self.bound)
        total = clipped.sum()
        if self.least <= total <= self.most:
            return clipped
        wanted = self.least if total < self.least else self.most
        # The nearest one is the point moved by one amount everywhere, then clipped; its sum falls with the amount.
        low, high = point.min() - self.bound, point.max()
        for _ in range(100):
            middle = (low + high) / 2
            if np.clip(point - middle, 0, self.bound).sum() > wanted:
                low = middle
            else:
                high = middle
        return np.clip(point - (low + high) / 2, 0, self.bound)

    def lowest(self, slope: np.ndarray) -> float:
        """Return the smallest value of the linear function `slope` over feasible weights."""
        ordered = np.sort(slope)
        full = np.arange(1, len(slope) + 1) * self.bound
        # Weight goes to the steepest falls first, up to `most`; and on to the gentlest rises until it is `least`.
        wanted = np.clip(self.bound * (slope < 0).sum(), self.least, self.most)
        shares = np.clip(wanted - (full - self.bound), 0, self.bound)
        return float(shares @ ordered)


def minimise(kernel, kappa: np.ndarray, feasible: Feasible, start: np.ndarray, tolerance: float):
    """Minimise 1/2 w'Kw - kappa'w until the gap is at most `tolerance` of the objective.

    Returns:
        The weights and the steps taken.
    """
    step = 1.0 / largest_eigenvalue(kernel, len(start))
    weights = ahead = feasible.nearest(start)
    momentum = 1.0
    for number in range(1, MAX_STEPS + 1):
        slope = (kernel @ ahead) - kappa
        new = feasible.nearest(ahead - step * slope)
        if (slope @ (new - weights)) > 0:  # the momentum leads uphill: begin anew
            momentum, ahead = 1.0, weights
            continue
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / faster * (new - weights)
        weights, momentum = new, faster
        if number % LOOK_EVERY == 0:
            objective, gap = certificate(weights, kernel @ weights, kappa, feasible)
            if gap <= tolerance * abs(objective):
                break
    return weights, number


def certificate(weights, product, kappa, feasible) -> tuple[float, float]:
    """Return the objective at `weights`, whose product with the kernel is `product`, and how much lower at most it
    could be."""
    slope = product - kappa
    return float(weights @ (product / 2 - kappa)), float(slope @ weights - feasible.lowest(slope))


def largest_eigenvalue(kernel, count: int) -> float:
    """Bound the largest eigenvalue from above, nearly tight: all entries are positive, so that for a positive vector v
    the largest of (Kv)_i / v_i is such a bound (Collatz 1942), and power iterations tighten it."""
    vector = np.ones(count)
    for _ in range(20):
        product = kernel @ vector
        bound = float((product / vector).max())
        vector = np.maximum(product / product.max(), 1e-12)
    return bound
