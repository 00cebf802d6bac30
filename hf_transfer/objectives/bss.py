"""Batch spectral shrinkage: damp the directions of the features that carry little."""

from dataclasses import dataclass

from .base import Objective
from .checks import at_least_one


@dataclass(frozen=True)
class BSS(Objective):
    """Batch spectral shrinkage (Chen et al. 2019): the sum of the k smallest squared singular values of the batch's
    feature matrix, so that untransferable directions die out. The paper's weight is 1e-3:
    `Supervised() + 1e-3 * BSS()`.

    Args:
        k (`int`): how many singular values.
    """

    k: int = 1

    def __post_init__(self):
        at_least_one(self, "k")

    def build(self, context):
        """Return the module that computes it; see [`BSSTerm`]."""
        from .bss_term import BSSTerm

        return BSSTerm(self.k)
