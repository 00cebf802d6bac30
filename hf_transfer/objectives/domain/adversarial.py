"""Features that a discriminator cannot tell the domain from."""

from dataclasses import dataclass

from ...errors import UserError
from ..checks import at_least_one
from .base import DomainObjective


@dataclass(frozen=True)
class DANN(DomainObjective):
    """Domain-adversarial training (Ganin et al. 2016): a discriminator learns to tell source from target features, and
    the gradient that reaches the features is reversed. Its strength grows with progress p as 2 / (1 + exp(-10 p)) - 1.
    The discriminator is trained with the model and never saved with it.

    Args:
        hidden_size (`int`): of the discriminator's two hidden layers.
    """

    hidden_size: int = 256
    moves_features = True

    def __post_init__(self):
        at_least_one(self, "hidden_size")

    def build(self, context):
        """Return the module that computes it; see [`AdversarialTerm`]."""
        from .adversarial_terms import AdversarialTerm

        return AdversarialTerm("dann", context.feature_width, self.hidden_size)


@dataclass(frozen=True)
class CDAN(DomainObjective):
    """Conditional adversarial domain adaptation (Long et al. 2018): as [`DANN`], but the discriminator reads the outer
    product of features and class probabilities.

    Args:
        hidden_size (`int`): of the discriminator's two hidden layers.
        entropy (`bool`): rows that are certain count more (CDAN+E): by 1 + exp(-H).
        most (`int`): an outer product wider than this is replaced by random products of this width (equation 6).
    """

    hidden_size: int = 256
    entropy: bool = True
    most: int = 4096
    classes_only = True
    moves_features = True

    def __post_init__(self):
        at_least_one(self, "hidden_size")
        if self.most < 16:
            raise UserError(f"objective.most is {self.most}; it must be at least 16")

    def build(self, context):
        """Return the module that computes it; see [`ConditionalTerm`]."""
        from .adversarial_terms import ConditionalTerm

        return ConditionalTerm(context.feature_width, context.num_labels, self.hidden_size, self.entropy, self.most)
