"""The modules behind [`EntropyMinimisation`], [`PseudoLabels`] and [`MCC`]."""

import math

import torch
from torch.nn import functional as F

from ..terms import Seen, Term
from .both import SOURCE, TARGET


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
        source = seen.logits.detach().float()[seen.domains == SOURCE]
        return self.of(logits, source) * seen.counted * ramp(seen.progress, self.begins, self.full)

    def of(self, logits: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Return the term of the target's logits, of shape `(rows, num_labels)`; `source` are those of the source rows
        of the batch, perhaps none, without a gradient."""
        raise NotImplementedError


class EntropyTerm(_OnTarget):
    """Mean entropy, in nats.

    Args:
        begins, full, aligned: see [`EntropyMinimisation`].
    """

    name = "entropy"

    def __init__(self, begins: float, full: float, aligned: bool):
        super().__init__(begins, full)
        self.aligned = aligned

    def of(self, logits: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        mean = entropy(logits).mean()
        if not self.aligned or not len(source):
            return mean
        here, there = log_shares(logits), log_shares(source)
        return mean + (here.exp() * (here - there)).sum()


class PseudoLabelsTerm(_OnTarget):
    """Cross-entropy against the model's own certain labels.

    Args:
        threshold, begins, full, aligned: see [`PseudoLabels`].
    """

    name = "pseudo_labels"

    def __init__(self, threshold: float, begins: float, full: float, aligned: bool):
        super().__init__(begins, full)
        self.threshold, self.aligned = threshold, aligned

    def of(self, logits: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        seen = logits.detach()
        if self.aligned and len(source):
            seen = F.log_softmax(seen, -1) + log_shares(source) - log_shares(seen)
        shares, labels = seen.softmax(-1).max(-1)
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

    def of(self, logits: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return class_confusion(logits, self.temperature)


def ramp(progress: float, begins: float, full: float) -> float:
    """Return 0 up to `begins`, 1 from `full` on, and a straight line between."""
    if progress >= full:
        return 1.0
    return max(0.0, progress - begins) / (full - begins)


def log_shares(logits: torch.Tensor) -> torch.Tensor:
    """Return the log of each class's mean probability over rows, of shape `(num_labels,)`."""
    return torch.logsumexp(F.log_softmax(logits, -1), 0) - math.log(len(logits))


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
