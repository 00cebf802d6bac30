"""Kernel mean matching."""

from dataclasses import dataclass

from ..errors import UserError
from .weights import Weights


@dataclass(frozen=True)
class KMM:
    """Kernel mean matching (Huang et al. 2007, equation 12): the weighted mean of the source rows in the kernel's
    feature space comes as close as it can to the mean of the target rows.

    min 1/2 w'Kw - kappa'w with kappa_i = (n_s / n_t) sum_t k(x_i, x_t), 0 <= w <= B and |sum w - n_s| <= n_s epsilon,
    epsilon = (sqrt(n_s) - 1) / sqrt(n_s).

    Args:
        gamma (`float`, *optional*): of the kernel exp(-gamma |x - y|^2); by default 1 / (2 m^2), m the median distance
            between rows.
        bound (`float`): B, the largest weight before they are scaled to mean 1.
    """

    gamma: float | None = None
    bound: float = 10.0
    weighs = True

    def __post_init__(self):
        if self.gamma is not None and not 0 < self.gamma < float("inf"):
            raise UserError(f"KMM.gamma is {self.gamma}; allowed: a number above 0, or none for the median heuristic")
        if not 1 <= self.bound < float("inf"):
            raise UserError(f"KMM.bound is {self.bound}; allowed: a number of at least 1")

    def fit(self, source, target, source_labels=None, target_labels=None) -> Weights:
        """Weigh source rows by how much they look like the target; labels are not read.

        Args:
            source (`np.ndarray` of shape `(n_source, width)`), target (`np.ndarray` of shape `(n_target, width)`):
                features from the same backbone.

        Returns:
            [`Weights`]: `about` holds `gamma`, `objective` and `gap`, by how much at most the objective could be
            lower; of more source rows than 2 GB hold a kernel matrix of (23,000) also `landmarks`, the rows by which
            it was told in the search.

        Raises:
            `UserError`: features that do not fit each other.
        """
        from .features import checked
        from .kmm_solver import match_means

        return match_means(*checked(source, target), self.gamma, self.bound)
