"""A Gaussian kernel matrix of low rank, for more rows than a whole one can be kept of."""

import numpy as np
import torch

from .kernel import rbf

LANDMARKS = 2000
NOTHING = 1e-7  # of the largest eigenvalue: directions below are rounding


class LowRankKernel:
    """The kernel matrix of rows with themselves as landmarks tell it (Nystrom's method: Williams & Seeger 2001), its
    diagonal as it is.

    Args:
        rows (`np.ndarray` of shape `(n, width)`): rows; 2,000 of them at equal steps are the landmarks.
        gamma (`float`): of the kernel exp(-gamma |x - y|^2).
    """

    def __init__(self, rows: np.ndarray, gamma: float):
        rows = torch.from_numpy(rows).double()
        places = torch.linspace(0, len(rows) - 1, min(LANDMARKS, len(rows)), dtype=torch.float64).long()
        landmarks, self.landmarks = rows[places], len(places)
        values, vectors = torch.linalg.eigh(rbf(landmarks, landmarks, gamma))
        kept = values > NOTHING * values.max()
        onto = vectors[:, kept] / values[kept].sqrt()
        blocks = [(rbf(part, landmarks, gamma) @ onto).float() for part in rows.split(4096)]
        self.factor = torch.cat(blocks)  # of shape (n, rank): factor @ factor.T is the matrix
        self.missing = (1 - (self.factor**2).sum(1)).clamp_(min=0)

    def __matmul__(self, values: np.ndarray) -> np.ndarray:
        """Return the product with a vector of shape `(n,)`."""
        vector = torch.from_numpy(values).float()
        return (self.factor @ (self.factor.T @ vector) + self.missing * vector).double().numpy()
