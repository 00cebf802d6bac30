"""Terms that learn from what the model itself says of unlabelled target rows."""

from dataclasses import dataclass

from ...errors import UserError
from .base import DomainObjective


@dataclass(frozen=True)
class EntropyMinimisation(DomainObjective):
    """Mean entropy of the class probabilities of unlabelled target rows (Grandvalet & Bengio 2004): a boundary should
    not run through where the rows are."""

    classes_only = True

    def build(self, context):
        """Return the module that computes it; see [`EntropyTerm`]."""
        from .unlabelled_terms import EntropyTerm

        return EntropyTerm()


@dataclass(frozen=True)
class PseudoLabels(DomainObjective):
    """Cross-entropy of unlabelled target rows against the model's own label, where it is certain enough (Lee 2013).
    Rows below the threshold add nothing, and count in the mean.

    Args:
        threshold (`float`): probability from which a label is believed.
    """

    threshold: float = 0.95
    classes_only = True

    def __post_init__(self):
        if not 0 < self.threshold < 1:
            raise UserError(f"objective.threshold is {self.threshold}; allowed: above 0, below 1")

    def build(self, context):
        """Return the module that computes it; see [`PseudoLabelsTerm`]."""
        from .unlabelled_terms import PseudoLabelsTerm

        return PseudoLabelsTerm(self.threshold)


@dataclass(frozen=True)
class MCC(DomainObjective):
    """Minimum class confusion (Jin et al. 2020): how much probability unlabelled target rows share between classes.

    Args:
        temperature (`float`): T of the softmax; the paper's is 2.5.
    """

    temperature: float = 2.5
    classes_only = True

    def __post_init__(self):
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"objective.temperature is {self.temperature}; allowed: a number above 0")

    def build(self, context):
        """Return the module that computes it; see [`MCCTerm`]."""
        from .unlabelled_terms import MCCTerm

        return MCCTerm(self.temperature)
