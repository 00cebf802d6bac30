"""Distances between the features of two domains, to be made small."""

from dataclasses import dataclass

from ...errors import UserError
from .base import DomainObjective


@dataclass(frozen=True)
class CORAL(DomainObjective):
    """Deep CORAL (Sun & Saenko 2016, equation 1): |C_s - C_t|_F^2 / (4 D^2), C the covariances (with n - 1) of the
    batch's source and target features of width D."""

    moves_features = True

    def build(self, context):
        """Return the module that computes it; see [`CORALTerm`]."""
        from .alignment_terms import CORALTerm

        return CORALTerm()


@dataclass(frozen=True)
class MMD(DomainObjective):
    """Squared maximum mean discrepancy between the batch's source and target features (Long et al. 2015), as a sum of
    Gaussian kernels exp(-d^2 / (2 alpha m)), m the median of the squared distances in the batch.

    Args:
        alphas (`tuple[float, ...]`): one kernel each.
        unbiased (`bool`): the estimator without the diagonal (Gretton et al. 2012, equation 3), which may fall
            below 0; else the V-statistic (equation 5).
    """

    alphas: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0)
    unbiased: bool = True
    moves_features = True

    def __post_init__(self):
        object.__setattr__(self, "alphas", tuple(float(one) for one in self.alphas))
        if not self.alphas or not all(0 < one < float("inf") for one in self.alphas):
            raise UserError(f"objective.alphas is {self.alphas}; allowed: one number above 0, or several")

    def build(self, context):
        """Return the module that computes it; see [`MMDTerm`]."""
        from .alignment_terms import MMDTerm

        return MMDTerm(self.alphas, self.unbiased)
