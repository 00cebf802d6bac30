"""The Kullback-Leibler importance estimation procedure."""

from dataclasses import dataclass

from ..errors import UserError
from .weights import Weights


@dataclass(frozen=True)
class KLIEP:
    """KLIEP (Sugiyama et al. 2007): w(x) = sum_l a_l k(x, c_l) is the density ratio of target to source that gives the
    target rows the highest likelihood: maximise sum_t log w(x_t) with a >= 0 and mean 1 over the source.

    Args:
        gamma (`float`, *optional*): of the kernel exp(-gamma |x - y|^2); by default the one with the highest
            likelihood of held-out target rows, in five folds (section 2.3).
        centres (`int`): how many target rows are centres, at equal steps; all of them where there are fewer.
    """

    gamma: float | None = None
    centres: int = 100
    weighs = True

    def __post_init__(self):
        if self.gamma is not None and not 0 < self.gamma < float("inf"):
            raise UserError(f"KLIEP.gamma is {self.gamma}; allowed: a number above 0, or none for cross-validation")
        if self.centres < 1:
            raise UserError(f"KLIEP.centres is {self.centres}; it must be at least 1")

    def fit(self, source, target, source_labels=None, target_labels=None) -> Weights:
        """Weigh source rows by how much they look like the target; labels are not read.

        Args:
            source (`np.ndarray` of shape `(n_source, width)`), target (`np.ndarray` of shape `(n_target, width)`):
                features from the same backbone.

        Returns:
            [`Weights`]: `about` holds `gamma`, `objective` (the sum of log w over target rows), `gap`, by how much at
            most it could be higher, and where gamma was chosen the `grid` of mean held-out log w.

        Raises:
            `UserError`: features that do not fit each other.
        """
        from .features import checked
        from .kliep_solver import estimate

        return estimate(*checked(source, target), self.gamma, self.centres)
