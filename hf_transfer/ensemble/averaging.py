"""Means of models' weights, tensor by tensor.

Floats are added in float64 and rounded once, so that the mean of equal weights is those weights, bit for bit, and the
order of the members does not show. Integers, such as BatchNorm's count of batches, mean nothing when averaged: they
are copied.
"""

from collections.abc import Mapping

import torch

State = Mapping[str, torch.Tensor]


def interpolate(start: State, end: State, alpha: float) -> State:
    """Return (1 - alpha) start + alpha end (Wortsman et al. 2022, Robust fine-tuning of zero-shot models, eq. 1).

    Args:
        start, end (`Mapping[str, torch.Tensor]`): by name, of the same shapes.
        alpha (`float`): 0 returns `start` itself, 1 returns `end` itself.

    Returns:
        `Mapping[str, torch.Tensor]`: in the precision of `end`; integers are those of `end`.
    """
    if alpha in (0, 1):
        return end if alpha else start
    mixed = {}
    for name, last in end.items():
        if last.is_floating_point():
            mixed[name] = ((1 - alpha) * start[name].double() + alpha * last.double()).to(last.dtype)
        else:
            mixed[name] = last
    return mixed


class Mean:
    """The mean of some states, to which one more can be added.

    Args:
        first (`Mapping[str, torch.Tensor]`): the first of them; integers and precision are taken from it.
    """

    def __init__(self, first: State):
        self.first, self.count = first, 1
        self.sums = {name: tensor.double() for name, tensor in first.items() if tensor.is_floating_point()}

    def plus(self, state: State) -> "Mean":
        """Return the mean of one more; this one stays as it is."""
        more = Mean.__new__(Mean)
        more.first, more.count = self.first, self.count + 1
        more.sums = {name: total + state[name].double() for name, total in self.sums.items()}
        return more

    def state(self) -> State:
        """Return the mean; that of a single state is that state."""
        if self.count == 1:
            return self.first
        means = {name: (total / self.count).to(self.first[name].dtype) for name, total in self.sums.items()}
        return {name: means.get(name, tensor) for name, tensor in self.first.items()}
