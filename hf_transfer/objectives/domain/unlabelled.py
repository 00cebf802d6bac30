"""Terms that learn from what the model itself says of unlabelled target rows."""

from dataclasses import dataclass, field

from ...errors import UserError
from .base import DomainObjective


@dataclass(frozen=True)
class _OwnOpinion(DomainObjective):
    """What strengthens the model's own opinion comes in late, and is held to the classes' shares: an opinion of the
    first steps is worth nothing, and a class that is favoured by a little would draw all rows to it."""

    begins: float = field(default=0.1, kw_only=True)
    full: float = field(default=0.6, kw_only=True)
    aligned: bool = field(default=True, kw_only=True)
    classes_only = True

    def __post_init__(self):
        if not 0 <= self.begins <= self.full <= 1:
            raise UserError(
                f"objective.begins is {self.begins} and objective.full {self.full}; allowed: shares of the training, "
                "0 <= begins <= full <= 1"
            )
        if not isinstance(self.aligned, bool):
            raise UserError(f"objective.aligned is {self.aligned!r}; allowed: true or false")


@dataclass(frozen=True)
class EntropyMinimisation(_OwnOpinion):
    """Mean entropy of the class probabilities of unlabelled target rows (Grandvalet & Bengio 2004): a boundary should
    not run through where the rows are.

    Args:
        begins, full (`float`): between these shares of the training its weight grows from 0 to 1, as that of
            [`PseudoLabels`]: most of what is certain early is wrong.
        aligned (`bool`): add KL(mean of the target rows' probabilities || mean of the source rows') of the batch, as
            regularised information maximisation does with a prior of the classes (Krause, Perona & Gomes 2010). Take
            `False` where the classes' shares differ much between the domains.
    """

    def build(self, context):
        """Return the module that computes it; see [`EntropyTerm`]."""
        from .unlabelled_terms import EntropyTerm

        return EntropyTerm(self.begins, self.full, self.aligned)


@dataclass(frozen=True)
class PseudoLabels(_OwnOpinion):
    """Cross-entropy of unlabelled target rows against the model's own label, where it is certain enough (Lee 2013).
    Rows below the threshold add nothing, and count in the mean.

    Args:
        threshold (`float`): probability from which a label is believed.
        begins, full (`float`): between these shares of the training its weight grows from 0 to 1 in a straight line
            (the paper's alpha(t), its equation 16).
        aligned (`bool`): before a label is taken, multiply the probabilities by the mean over the source rows of the
            batch and divide by the mean over its target rows (ReMixMatch, Berthelot et al. 2020; there with running
            means). Take `False` where the classes' shares differ much between the domains.
    """

    threshold: float = 0.95

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.threshold < 1:
            raise UserError(f"objective.threshold is {self.threshold}; allowed: above 0, below 1")

    def build(self, context):
        """Return the module that computes it; see [`PseudoLabelsTerm`]."""
        from .unlabelled_terms import PseudoLabelsTerm

        return PseudoLabelsTerm(self.threshold, self.begins, self.full, self.aligned)


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
