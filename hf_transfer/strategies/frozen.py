"""The backbone stands still; only the head moves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FrozenFeatures:
    """Frozen features: the backbone is run once, in evaluation mode, and only the head is trained on what it gave.

    With a linear head this is the linear probe.
    """

    def frozen_depth(self, num_blocks: int) -> int:
        """Return the last depth that never changes: embeddings are 0, blocks 1 to `num_blocks`, the head one more."""
        return num_blocks

    def prepare(self, model, depths: dict[str, int]):
        """Freeze every parameter of `model` below the head's depth, which is the largest one in `depths`."""
        head = max(depths.values())
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(depths[name] == head)
        return model

    def finish(self, model):
        """Return the model to save: nothing was wrapped, so the model itself."""
        return model
