"""The Gaussian kernel, computed in blocks: k(x, y) = exp(-gamma |x - y|^2)."""

from collections.abc import Iterator

import numpy as np
import torch

# A kernel matrix up to this size is kept; a larger one is computed anew, block by block, for every product.
KEEP_BYTES = 2 * 2**30
BLOCK_BYTES = 64 * 2**20
SAMPLE = 2000  # rows whose distances give the median


def median_gamma(*features: np.ndarray) -> float:
    """Return gamma = 1 / (2 m^2), m the median distance between rows (the median heuristic).

    Of more than 2,000 rows, as many at equal steps are looked at.
    """
    rows = np.concatenate(features)
    rows = torch.from_numpy(rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64)])
    distances = torch.pdist(rows).numpy()
    positive = distances[distances > 0]
    return 1.0 if not len(positive) else float(0.5 / np.median(positive) ** 2)


def rbf(left: torch.Tensor, right: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return the kernel of every row of `left` with every row of `right`."""
    squares = (left**2).sum(1, keepdim=True) + (right**2).sum(1) - 2 * left @ right.T
    return squares.clamp_(min=0).mul_(-gamma).exp_()


class Kernel:
    """The kernel matrix of rows with other rows, as something to multiply with.

    Args:
        left (`np.ndarray` of shape `(n, width)`), right (`np.ndarray` of shape `(m, width)`): rows; float64 is kept
            while the matrix stays small, float32 is enough beyond.
        gamma (`float`): of the kernel.
    """

    def __init__(self, left: np.ndarray, right: np.ndarray, gamma: float):
        dtype = torch.float64 if 8 * len(left) * len(right) <= KEEP_BYTES // 8 else torch.float32
        self.left, self.right = (torch.from_numpy(rows).to(dtype) for rows in (left, right))
        self.gamma, self.matrix = gamma, None
        if self.left.element_size() * len(left) * len(right) <= KEEP_BYTES:
            self.matrix = torch.cat(list(self._blocks()))

    @property
    def kept(self) -> bool:
        """Whether the matrix is there as a whole, so that a product costs little."""
        return self.matrix is not None

    def __matmul__(self, values: np.ndarray) -> np.ndarray:
        """Return the product with a vector of shape `(m,)`."""
        vector = torch.from_numpy(values).to(self.left.dtype)
        if self.matrix is not None:
            return (self.matrix @ vector).double().numpy()
        return torch.cat([block @ vector for block in self._blocks()]).double().numpy()

    def _blocks(self) -> Iterator[torch.Tensor]:
        rows = max(1, BLOCK_BYTES // (self.left.element_size() * len(self.right)))
        for part in self.left.split(rows):
            yield rbf(part, self.right, self.gamma)
