"""The modules behind [`DANN`] and [`CDAN`]."""

import torch
from torch import nn
from torch.nn import functional as F

from ..terms import Seen, Term
from .reversal import reverse, strength
from .unlabelled_terms import entropy


class AdversarialTerm(Term):
    """A discriminator's cross-entropy on features whose gradient is reversed.

    Each domain counts one half, whatever its number of rows in the batch.

    Args:
        name (`str`): in the log.
        width (`int`): of what the discriminator reads.
        hidden_size (`int`): of its two hidden layers.
    """

    reads_features = True

    def __init__(self, name: str, width: int, hidden_size: int):
        super().__init__()
        self.name = name
        self.discriminator = nn.Sequential(
            nn.Linear(width, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, 1),
        )

    def forward(self, seen: Seen) -> torch.Tensor:
        inputs = reverse(self.inputs(seen), strength(seen.progress))
        logits = self.discriminator(inputs).squeeze(-1)
        rows = F.binary_cross_entropy_with_logits(logits, seen.domains.float(), reduction="none")
        return (rows * self.balance(seen)).sum() * seen.counted

    def inputs(self, seen: Seen) -> torch.Tensor:
        return seen.features.float()

    def row_shares(self, seen: Seen) -> torch.Tensor:
        """Return how much each row counts within its domain, of shape `(batch,)`."""
        return torch.ones_like(seen.domains, dtype=torch.float32)

    def balance(self, seen: Seen) -> torch.Tensor:
        shares = self.row_shares(seen)
        total = torch.zeros_like(shares)
        for domain in (0, 1):
            here = seen.domains == domain
            total = total + here * shares / (2 * shares[here].sum().clamp(min=1e-12))
        return total


class ConditionalTerm(AdversarialTerm):
    """The same on the outer product of features and class probabilities.

    Args:
        width (`int`): of the features.
        num_labels (`int`): classes.
        hidden_size (`int`), entropy (`bool`), most (`int`): see [`CDAN`].
    """

    def __init__(self, width: int, num_labels: int, hidden_size: int, entropy: bool, most: int):
        product = width * num_labels
        super().__init__("cdan", min(product, most), hidden_size)
        self.entropy = entropy
        if product > most:
            self.register_buffer("of_features", torch.randn(width, most))
            self.register_buffer("of_classes", torch.randn(num_labels, most))

    def inputs(self, seen: Seen) -> torch.Tensor:
        features, shares = seen.features.float(), seen.logits.float().softmax(-1).detach()
        if hasattr(self, "of_features"):
            return (features @ self.of_features) * (shares @ self.of_classes) / self.of_features.shape[1] ** 0.5
        return (shares.unsqueeze(2) * features.unsqueeze(1)).flatten(1)

    def row_shares(self, seen: Seen) -> torch.Tensor:
        if not self.entropy:
            return super().row_shares(seen)
        return 1 + torch.exp(-entropy(seen.logits.float()).detach())
