"""The upper part of the backbone moves."""

from dataclasses import dataclass

from ..errors import UserError
from .base import BackboneTraining


@dataclass(frozen=True)
class PartialFineTune(BackboneTraining):
    """Partial fine-tuning: the head and the top blocks are trained, what lies below stands still.

    Args:
        top (`int`): how many blocks, counted from the head.
    """

    top: int = 2

    def __post_init__(self):
        super().__post_init__()
        if self.top < 1:
            raise UserError(f"strategy.top is {self.top}; it must be at least 1 (for none use FrozenFeatures)")

    def frozen_depth(self, num_blocks: int) -> int:
        return num_blocks - self.top

    def trains(self, name: str, depth: int, top: int) -> bool:
        return depth >= top - self.top

    def check(self, depths: dict[str, int]) -> None:
        blocks = max(depths.values()) - 1
        if self.top > blocks:
            raise UserError(f"strategy.top is {self.top}; this backbone has {blocks} blocks (for all: FullFineTune)")
