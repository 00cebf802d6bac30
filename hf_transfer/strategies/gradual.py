"""One more depth moves in each epoch, from the head down."""

from dataclasses import dataclass

from ..errors import UserError
from .base import BackboneTraining


@dataclass(frozen=True)
class GradualUnfreeze(BackboneTraining):
    """Gradual unfreezing (Howard & Ruder 2018, section 3.3): the first epoch trains the head alone, each further one
    `per_epoch` more depths from the top, until embeddings or stem move too. With fewer epochs than depths, what lies
    lowest never moves.

    Args:
        per_epoch (`int`): depths that join at the start of each epoch after the first.
    """

    per_epoch: int = 1

    def __post_init__(self):
        super().__post_init__()
        if self.per_epoch < 1:
            raise UserError(f"strategy.per_epoch is {self.per_epoch}; it must be at least 1")

    def from_epoch(self, depth: int, top: int) -> int:
        return -(-(top - depth) // self.per_epoch)
