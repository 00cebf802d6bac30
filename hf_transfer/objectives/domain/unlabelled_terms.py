"""The modules behind [`EntropyMinimisation`], [`PseudoLabels`] and [`MCC`]."""

import torch
from torch.nn import functional as F

from ..terms import Seen, Term
from .both import TARGET


class _OnTarget(Term):
    """A mean over the target rows that no label counts for.

    Args:
        begins, full (`float`): shares of the training between which its weight grows from 0 to 1.
    """

    def __init__(self, begins: float = 0.0, full: float = 0.0):
        super().__init__()
        self.begins, self.full = begins, full

    def forward(self, seen: Seen) -> torch.Tensor:
        logits = seen.logits.float()[(seen.domains == TARGET) & (seen.weights == 0)]
        if not len(logits):
            return seen.logits.sum() * 0.0
        return self.of(logits) * seen.counted * ramp(seen.progress, self.begins, self.full)

    def of(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the term of logits of shape `(rows, num_labels)`."""
        raise NotImplementedError


class EntropyTerm(_OnTarget):
    """Mean entropy, in nats."""

    name = "entropy"

    def of(self, logits: torch.Tensor) -> torch.Tensor:
        return entropy(logits).mean()


class PseudoLabelsTerm(_OnTarget):
    """Cross-entropy against the model's own certain labels.

    Args:
        threshold, begins, full (`float`): see [`PseudoLabels`].
    """

    name = "pseudo_labels"

    def __init__(self, threshold: float, begins: float, full: float):
        super().__init__(begins, full)
        self.threshold = threshold

    def of(self, logits: torch.Tensor) -> torch.Tensor:
        shares, labels = logits.detach().softmax(-1).max(-1)
        rows = F.cross_entropy(logits, labels, reduction="none")
        return (rows * (shares >= self.threshold)).mean()


class MCCTerm(_OnTarget):
    """Class confusion.

    Args:
        temperature (`float`): see [`MCC`].
    """

    name = "mcc"

    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def of(self, logits: torch.Tensor) -> torch.Tensor:
        return class_confusion(logits, self.temperature)


def ramp(progress: float, begins: float, full: float) -> float:
    """Return 0 up to `begins`, 1 from `full` on, and a straight line between."""
    if progress >= full:
        return 1.0
    return max(0.0, progress - begins) / (full - begins)


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Return each row's entropy in nats, of shape `(rows,)`."""
    logs = F.log_softmax(logits, -1)
    return -(logs.exp() * logs).sum(-1)


def class_confusion(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the mean over classes of the share of their probability that goes together with other classes (Jin et al.
    2020, equations 2 to 6), rows weighted by 1 + exp(-entropy), in mean 1."""
    softened = logits / temperature
    shares = softened.softmax(-1)
    weights = 1 + torch.exp(-entropy(softened).detach())
    weights = weights * len(weights) / weights.sum()
    confusion = (shares * weights.unsqueeze(-1)).T @ shares
    confusion = confusion / confusion.sum(1, keepdim=True)
    return (confusion.sum() - confusion.trace()) / logits.shape[1]
