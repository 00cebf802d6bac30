"""What a weighting finds, and what is to be looked at before it is believed."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError


@dataclass(frozen=True)
class Weights:
    """One weight for each source row.

    Args:
        values (`np.ndarray` of shape `(n_source,)`): float64, none negative, of mean 1.
        about (`dict`): how they were found: what was chosen, how close to the optimum it is.
    """

    values: Any
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def effective_sample_size(self) -> float:
        """(sum w)^2 / sum w^2: as many rows of equal weight would say as much (Kish 1965)."""
        return float(self.values.sum() ** 2 / (self.values**2).sum())

    def extremes(self, count: int = 10) -> tuple[list[int], list[int]]:
        """Return the numbers of the heaviest rows, the heaviest first, and of the lightest, the lightest first."""
        order = self.values.argsort(kind="stable")
        return order[::-1][:count].tolist(), order[:count].tolist()


def normalised(values, about: dict[str, Any]) -> Weights:
    """Scale weights to mean 1.

    Raises:
        `UserError`: all of them are zero: no source row looks like the target.
    """
    mean = values.mean()
    if not mean > 0:
        raise UserError(
            "every source row got the weight 0: source and target have nothing in common; widen the kernel"
        )
    return Weights(values / mean, about)
