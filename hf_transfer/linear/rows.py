"""The rows of a linear fit: scaled, read in blocks, and the loss and gradient over them.

Parameters are float64 vectors, all weights and then the biases; what is computed for each row is float32, and sums
over rows are float64.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..errors import UserError

NOT_FINITE = "the {} split's features hold values that are not finite (NaN or infinity); record them again"
# Rows are read, scaled and multiplied this many bytes at a time, whether or not they stay in memory.
BLOCK_BYTES = 32 * 2**20


class Scale(NamedTuple):
    """What is subtracted from each column and what it is divided by: float64, of shape `(width,)`."""

    mean: torch.Tensor
    divisor: torch.Tensor


def measure_scale(matrix, device, widths: Sequence[int]) -> Scale:
    """Take the columns' means and variances in one pass, with the update of Chan, Golub and LeVeque (1979)."""
    count, mean, squares = 0, 0.0, 0.0
    for start, stop in _spans(matrix):
        block = _read(matrix, start, stop, device).double()
        own = block.mean(0)
        step = own - mean
        total = count + len(block)
        squares = squares + (block - own).square_().sum(0) + step.square() * (count * len(block) / total)
        mean, count = mean + step * (len(block) / total), total
    if not torch.isfinite(squares).all():
        raise UserError(NOT_FINITE.format("train"))
    variance = squares / count
    own = [
        part.mean().sqrt().item() or 1.0 for part in variance.split(list(widths))
    ]  # none varies: any divisor will do
    usual = torch.cat([variance.new_full((width,), one) for width, one in zip(widths, own, strict=True)])
    return Scale(mean, torch.maximum(variance.sqrt(), usual))


class Rows:
    """The scaled rows of one split, kept on the device when they fit and read anew when not."""

    def __init__(self, matrix, labels, objective, scale: Scale, device, resident_bytes: int, weights=None):
        self.matrix, self.objective, self.device = matrix, objective, device
        self.mean, self.factor = scale.mean.float(), (1 / scale.divisor).float()
        kind = torch.int64 if objective.problem_type == "single_label_classification" else torch.float32
        self.labels = torch.as_tensor(np.asarray(labels) if not torch.is_tensor(labels) else labels).to(device, kind)
        self.weights = None if weights is None else torch.from_numpy(weights).to(device)
        counted = objective.row_weights(self.labels).double()
        self.weight = float((counted if weights is None else counted * self.weights).sum())
        fits = len(matrix) * matrix.shape[1] * 4 <= resident_bytes
        self.kept = list(self._scaled()) if fits else None

    def _scaled(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        for start, stop in _spans(self.matrix):
            block = _read(self.matrix, start, stop, self.device)
            own = None if self.weights is None else self.weights[start:stop]
            yield (block - self.mean).mul_(self.factor), self.labels[start:stop], own

    def _blocks(self):
        return self._scaled() if self.kept is None else self.kept

    def loss_and_gradient(self, point: np.ndarray, shape, unit: float) -> tuple[float, np.ndarray]:
        """Return the mean loss and its gradient, both in the unit of the logits; autograd sees the logits alone."""
        weights, bias = self._parameters(point, shape)
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        by_weight = torch.zeros(shape, dtype=torch.float64, device=self.device)
        by_bias = torch.zeros(shape[0], dtype=torch.float64, device=self.device)
        for block, labels, own in self._blocks():
            logits = _logits(block, weights, bias, unit).requires_grad_()
            with torch.enable_grad():
                rows = self._summed(logits, labels, own)
            (slope,) = torch.autograd.grad(rows, logits)
            loss += rows.detach()
            by_weight += slope.T @ block
            by_bias += slope.double().sum(0)
        gradient = torch.cat([by_weight.flatten(), by_bias]).cpu().numpy() / (self.weight * unit)
        return float(loss) / (self.weight * unit**2), gradient

    @torch.no_grad()
    def mean_loss(self, point: np.ndarray, shape, unit: float) -> float:
        """Return the mean loss, in the unit of the objective."""
        weights, bias = self._parameters(point, shape)
        losses = (
            self._summed(_logits(block, weights, bias, unit), labels, own) for block, labels, own in self._blocks()
        )
        return math.fsum(float(loss) for loss in losses) / self.weight

    def _summed(self, logits, labels, own) -> torch.Tensor:
        if own is None:
            return self.objective(logits, labels)
        return (self.objective.rows(logits, labels) * own).sum()

    def _parameters(self, point: np.ndarray, shape) -> Sequence[torch.Tensor]:
        return [torch.from_numpy(part).to(self.device, torch.float32) for part in split(point, shape)]


def _logits(block, weights, bias, unit: float) -> torch.Tensor:
    # Few classes and many rows: this way round the product is up to half as long on a CPU as `block @ weights.T`.
    return (weights @ block.T).add_(bias.unsqueeze(1)).mul_(unit).T


def split(point: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return point[: -shape[0]].reshape(shape), point[-shape[0] :]


def _spans(matrix) -> Iterator[tuple[int, int]]:
    size = max(1, BLOCK_BYTES // (4 * matrix.shape[1]))
    for start in range(0, len(matrix), size):
        yield start, min(start + size, len(matrix))


def _read(matrix, start: int, stop: int, device) -> torch.Tensor:
    block = matrix[start:stop]
    if not torch.is_tensor(block):
        block = torch.from_numpy(np.array(block, dtype=np.float32))  # a copy: a memory map may be read-only
    return block.to(device, torch.float32)
