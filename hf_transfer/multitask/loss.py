"""The loss of a mixture: each step's is its task's own, with the task's weight."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from ..data.mixture import UNCERTAINTY
from ..objectives.step_loss import StepLoss
from ..objectives.terms import Seen


class MixtureLoss(nn.Module):
    """Sums over the rows of a micro-batch, all of one task; takes the place of a [`StepLoss`].

    With learnt weights s_t = log sigma_t^2 (Kendall et al. 2018, equations 7 and 10): a classification costs
    exp(-s_t) L_t + s_t / 2, a regression exp(-s_t) L_t / 2 + s_t / 2. The s_t are parameters of this module, so that
    they are trained, wrapped and kept in checkpoints with the model (see `joint.Joint`), and never saved in it.

    Args:
        losses (`Mapping[str, StepLoss]`): of each task, without terms.
        regressions (`Sequence[str]`): the tasks that predict a number.
        weights (`Mapping[str, float]` or `str`, *optional*): see [`TaskMixture`].
        terms (`Sequence[tuple[Term, float]]`): what is added in training, with its factor.
    """

    reads_features = False
    watches: tuple[str, ...] = ()

    def __init__(self, losses: Mapping[str, StepLoss], regressions: Sequence[str] = (), weights=None, terms=()):
        super().__init__()
        self.names, self.losses = list(losses), nn.ModuleList(losses.values())
        self.regressions, self.fixed = frozenset(regressions), None if weights == UNCERTAINTY else weights
        # One parameter each: a step moves that of its own task alone, and the optimizer passes over the others.
        count = len(losses) if weights == UNCERTAINTY else 0
        self.log_variances = nn.ParameterList(nn.Parameter(torch.zeros(())) for _ in range(count))
        self.terms = nn.ModuleList(term for term, _ in terms)
        self.factors = [factor for _, factor in terms]
        # A term may read of the backbone what this task's head does not, such as a pooler.
        self.inside = bool(self.factors)
        self.number = 0

    def turn_to(self, task: str) -> None:
        """Choose the task of the rows that come next."""
        self.number = self.names.index(task)

    @property
    def weights(self) -> dict[str, float]:
        """The factor on each task's loss as it is now."""
        if len(self.log_variances):
            halves = [0.5 if name in self.regressions else 1.0 for name in self.names]
            return {
                name: half * torch.exp(-one.detach()).item()
                for name, half, one in zip(self.names, halves, self.log_variances, strict=True)
            }
        return {name: 1.0 if self.fixed is None else self.fixed[name] for name in self.names}

    def row_weights(self, labels: torch.Tensor) -> torch.Tensor:
        """Return each row's weight, of shape `(batch,)`: 1, or its class's weight."""
        return self.losses[self.number].row_weights(labels)

    def evaluate(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the task's own loss, summed over rows."""
        return self.losses[self.number].evaluate(logits, labels)

    def forward(self, seen: Seen) -> dict[str, torch.Tensor]:
        """Return each part's weighted sum over rows: every task by its name, 0 but for that of these rows, and the
        terms'."""
        loss = self.losses[self.number](seen)["task"]
        parts = {name: loss.new_zeros(()) for name in self.names}
        parts[self.names[self.number]] = self._weighted(loss, seen.weights.sum())
        seen = replace(seen, model=_Reached(seen.model, self.number))
        for term, factor in zip(self.terms, self.factors, strict=True):
            parts[term.name] = parts.get(term.name, 0.0) + factor * term(seen)
        return parts

    def _weighted(self, loss: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if not len(self.log_variances):
            return loss if self.fixed is None else self.fixed[self.names[self.number]] * loss
        s = self.log_variances[self.number]
        half = 0.5 if self.names[self.number] in self.regressions else 1.0
        return half * torch.exp(-s) * loss + s / 2 * rows


class _Reached:
    """What a step of one task moves: the backbone and its own head.

    A term that pulled at the other heads too would hand DDP gradients that its forward pass had ruled out.
    """

    def __init__(self, model: nn.Module, number: int):
        self.model, self.own = model, f"heads.{number}."

    def named_parameters(self):
        return (
            (name, one)
            for name, one in self.model.named_parameters()
            if not name.startswith("heads.") or name.startswith(self.own)
        )
