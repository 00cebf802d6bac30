"""Every parameter moves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FullFineTune:
    """Full fine-tuning: backbone and head are trained together, every parameter at the same learning rate."""

    def frozen_depth(self, num_blocks: int) -> int:
        """Return how many depths (embeddings, then blocks) never change: none, written -1."""
        return -1

    def prepare(self, model, depths: dict[str, int]):
        """Let every parameter of `model` move; `depths` maps a parameter name to its depth and is not needed here."""
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        return model

    def finish(self, model):
        """Return the model to save: nothing was wrapped, so the model itself."""
        return model
