"""An objective as the trainer computes it: the task's loss and what stands beside it."""

import torch
from torch import nn

from ..errors import UserError
from .base import WeightedSum
from .supervised import Supervised
from .terms import Seen


def build_objective(objective, problem_type: str, class_weights=None, label_smoothing: float = 0.0, context=None):
    """Return the [`StepLoss`] of an objective.

    Args:
        objective (`Objective`): a [`Supervised`], or a [`WeightedSum`] with exactly one.
        problem_type (`str`), class_weights (`Sequence[float]`), label_smoothing (`float`): see [`SupervisedLoss`].
        context (`Context`, *optional*): what terms are built from.

    Raises:
        `UserError`: no [`Supervised`] in a sum, or several.
    """
    parts = (objective.objectives, objective.weights) if isinstance(objective, WeightedSum) else ((objective,), (1.0,))
    pairs = list(zip(*parts, strict=True))
    tasks = [(one, weight) for one, weight in pairs if isinstance(one, Supervised)]
    if len(tasks) != 1:
        raise UserError(f"objective has {len(tasks)} Supervised() parts; a sum needs exactly one")
    (task, weight), beside = tasks[0], [(one, share) for one, share in pairs if not isinstance(one, Supervised)]
    loss = task.build(problem_type, class_weights, label_smoothing)
    for one, _ in beside:
        one.check(context is not None and context.frozen, problem_type)
    return StepLoss(loss, weight, [(one.build(context), share) for one, share in beside])


class StepLoss(nn.Module):
    """Sums over the rows of a micro-batch; see [`SupervisedLoss`] and [`Term`].

    Args:
        task (`SupervisedLoss`): the task's own loss.
        weight (`float`): its factor.
        terms (`Sequence[tuple[Term, float]]`): what is added in training, with its factor. In evaluation the loss is
            the task's alone, so that runs with other terms compare.
    """

    def __init__(self, task: nn.Module, weight: float = 1.0, terms=()):
        super().__init__()
        self.task, self.weight = task, weight
        self.terms = nn.ModuleList(term for term, _ in terms)
        self.factors = [factor for _, factor in terms]

    @property
    def reads_features(self) -> bool:
        return any(term.reads_features for term in self.terms)

    @property
    def watches(self) -> tuple[str, ...]:
        """The modules of the model whose outputs some term reads."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.watches))

    def row_weights(self, labels: torch.Tensor) -> torch.Tensor:
        """Return each row's weight, of shape `(batch,)`."""
        return self.task.row_weights(labels)

    def evaluate(
        self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the task's loss, summed over rows."""
        return self.task(logits, labels, *(() if weights is None else (weights,)))

    def forward(self, seen: Seen) -> dict[str, torch.Tensor]:
        """Return each part's weighted sum over rows, by name: `task` and the terms'."""
        weights = None if seen.shares is None else seen.weights  # by themselves they are the task's own
        parts = {"task": self.weight * self.evaluate(seen.logits, seen.labels, weights)}
        for term, factor in zip(self.terms, self.factors, strict=True):
            parts[term.name] = parts.get(term.name, 0.0) + factor * term(seen)
        return parts
