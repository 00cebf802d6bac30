"""The module behind [`CoTuning`]."""

import torch
from torch.nn import functional as F

from .terms import Context, Seen, Term


class CoTuningTerm(Term):
    """Cross-entropy of the source head against what each row's class means to it, summed over rows.

    Args:
        context (`Context`): its `source` brings the checkpoint's classifier and what it says of the training rows.
        strength (`float`): see [`CoTuning`].
    """

    name = "co_tuning"

    def __init__(self, context: Context, strength: float):
        super().__init__()
        source = context.source()
        self.strength, self.head = strength, source.head
        self.reads_features, self.watches = source.head.reads_features, source.head.watches
        self.register_buffer("meaning", class_meanings(source.logits, source.labels, context.num_labels))

    def forward(self, seen: Seen) -> torch.Tensor:
        rows = F.cross_entropy(self.head(seen).float(), self.meaning[seen.labels], reduction="none")
        return self.strength * (rows * seen.weights).sum()


def class_meanings(logits: torch.Tensor, labels: torch.Tensor, num_labels: int) -> torch.Tensor:
    """Return p(y_s | y_t): the mean of the source probabilities over the rows of each target class (You et al. 2020,
    "direct approach"). A class without rows gets the mean over all.

    Args:
        logits (`torch.Tensor` of shape `(rows, source classes)`).
        labels (`torch.Tensor` of shape `(rows,)`): target class ids.
        num_labels (`int`): target classes.

    Returns:
        `torch.Tensor` of shape `(num_labels, source classes)`; its rows sum to 1.
    """
    probabilities = F.softmax(logits.double(), -1)
    members = F.one_hot(labels, num_labels).double()
    counts = members.sum(0).unsqueeze(-1)
    means = members.T @ probabilities / counts.clamp(min=1)
    return torch.where(counts > 0, means, probabilities.mean(0)).float()
