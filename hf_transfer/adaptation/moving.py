"""Source features moved to where the target's lie, in closed form: a head learnt there reads target features as is."""

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..reweighting.features import checked

STILL = 1e-6  # of the usual standard deviation: a column that varies less is constant but for rounding


@dataclass(frozen=True)
class Move:
    """An affine map of features, `(x - start) A + end`; learnt on some rows, it moves others as well.

    Args:
        start, end (`np.ndarray` of shape `(width,)`): float64; the source's mean and the target's.
        factor (`np.ndarray` of shape `(width,)` or `(width, width)`): A, or its diagonal.
    """

    start: np.ndarray
    end: np.ndarray
    factor: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return `rows` of shape `(n, width)` moved, in float32."""
        centred = np.asarray(rows, np.float64) - self.start
        turned = centred * self.factor if self.factor.ndim == 1 else centred @ self.factor
        return (turned + self.end).astype(np.float32)


def scale(source, target) -> np.ndarray:
    """Give each column of `source` the mean and the standard deviation of that column of `target`.

    Args:
        source (`np.ndarray` of shape `(n_s, width)`), target (`np.ndarray` of shape `(n_t, width)`): features from the
            same backbone.

    Returns:
        `np.ndarray` of shape `(n_s, width)`: float32. A column that is constant in the source is the target's mean.

    Raises:
        `UserError`: features that do not fit each other.
    """
    return scaling(source, target)(source)


def coral(source, target, ridge: float = 1.0) -> np.ndarray:
    """Give `source` the mean and the covariance of `target` (CORAL: Sun, Feng & Saenko 2016, algorithm 1): whitened
    with C_s^-1/2, recoloured with C_t^1/2, where C + lambda I takes the place of each covariance C.

    Args:
        source (`np.ndarray` of shape `(n_s, width)`), target (`np.ndarray` of shape `(n_t, width)`): features from the
            same backbone; they may be fewer than they are wide.
        ridge (`float`): lambda, in mean variances of each domain's columns: the paper has lambda = 1 for
            columns of variance 1.

    Returns:
        `np.ndarray` of shape `(n_s, width)`: float32.

    Raises:
        `UserError`: features that do not fit each other, or a ridge that is not above 0.
    """
    return recolouring(source, target, ridge)(source)


def scaling(source, target) -> Move:
    """Return the [`Move`] of [`scale`]."""
    source, target = checked(source, target)
    deviation = source.std(0)
    still = deviation <= STILL * np.sqrt((deviation**2).mean())
    factor = np.where(still, 0.0, target.std(0) / np.where(still, 1.0, deviation))
    return Move(source.mean(0), target.mean(0), factor)


def recolouring(source, target, ridge: float = 1.0) -> Move:
    """Return the [`Move`] of [`coral`]."""
    if not 0 < ridge < float("inf"):
        raise UserError(f"ridge is {ridge}; allowed: a number above 0")
    source, target = checked(source, target)
    whiten, recolour = _power(source, -0.5, ridge), _power(target, 0.5, ridge)
    return Move(source.mean(0), target.mean(0), whiten @ recolour)


def _power(rows: np.ndarray, exponent: float, ridge: float) -> np.ndarray:
    """(C + lambda I) to a power; covariances with n - 1."""
    centred = rows - rows.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(rows) - 1))
    values = np.maximum(values, 0)
    # Rows that are all the same have no variance to take a share of; any lambda leaves them where they are.
    values = values + (ridge * values.mean() or 1.0)
    return (vectors * values**exponent) @ vectors.T
