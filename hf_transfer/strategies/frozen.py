"""The backbone stands still; only the head moves."""

from dataclasses import dataclass

from .base import Strategy


@dataclass(frozen=True)
class FrozenFeatures(Strategy):
    """Frozen features: the backbone is run once, in evaluation mode, and only the head is trained on what it gave.

    With a linear head this is the linear probe.
    """

    def frozen_depth(self, num_blocks: int) -> int:
        return num_blocks

    def trains(self, name: str, depth: int, top: int) -> bool:
        return depth == top
