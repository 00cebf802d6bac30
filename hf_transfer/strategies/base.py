"""What a strategy is asked: which parameters move, how fast, and from when.

A strategy sees parameter names and depths (0 embeddings or stem, 1..n blocks, n + 1 head), never an architecture.
"""

from dataclasses import dataclass, is_dataclass
from typing import Any

from ..errors import UserError


class Strategy:
    """The answers of full fine-tuning; a strategy overrides what it does otherwise."""

    def frozen_depth(self, num_blocks: int) -> int:
        """Return the last depth that never changes: embeddings are 0, blocks 1 to `num_blocks`; -1 for none."""
        return -1

    def check(self, depths: dict[str, int]) -> None:
        """Refuse a backbone that this strategy cannot train.

        Args:
            depths (`dict[str, int]`): of every parameter name, as the backbone's `depths` gives them.

        Raises:
            `UserError`: what the strategy needs, and what this backbone has.
        """

    def check_model(self, model, depths: dict[str, int]) -> None:
        """Refuse a model that this strategy cannot train; as [`check`], with the model at hand."""

    def trains(self, name: str, depth: int, top: int) -> bool:
        """Say whether a parameter ever moves; `top` is the head's depth."""
        return True

    def rate(self, depth: int, top: int) -> float:
        """Return the factor on the learning rate at `depth`."""
        return 1.0

    def from_epoch(self, depth: int, top: int) -> int:
        """Return the first epoch, counted from 0, in which the parameters at `depth` move."""
        return 0

    def trainable(self, model, depths: dict[str, int]) -> int:
        """Return how many parameters ever move."""
        top = max(depths.values())
        return sum(p.numel() for name, p in model.named_parameters() if self.trains(name, depths[name], top))

    def prepare(self, model, depths: dict[str, int]):
        """Let gradients reach what ever moves, and return the model to train."""
        top = max(depths.values())
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.trains(name, depths[name], top))
        return model

    def finish(self, model):
        """Return the model to save: nothing was wrapped, so the model itself."""
        return model


@dataclass(frozen=True, kw_only=True)
class BackboneTraining(Strategy):
    """What every strategy that trains the backbone can be told.

    Args:
        layer_decay (`float`): layer-wise learning-rate decay (LLRD): depth l of n blocks learns at
            `learning_rate * layer_decay ** (n + 1 - l)`, the head at `learning_rate`. 1 is the same rate everywhere;
            1 / 2.6 is ULMFiT's discriminative fine-tuning (Howard & Ruder 2018, section 3.2).
        slanted_triangular (`bool`): ULMFiT's learning-rate schedule (section 3.2: cut_frac 0.1, ratio 32) in place of
            `training.lr_scheduler_type`.
        transforms (`tuple`): changes to the model for the time of the training: `ReinitTop`, `StochNorm`,
            `FreezeBatchNorm`.
    """

    layer_decay: float = 1.0
    slanted_triangular: bool = False
    transforms: tuple[Any, ...] = ()

    def __post_init__(self):
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"strategy.layer_decay is {self.layer_decay}; allowed: above 0, at most 1 (1: no decay)")
        object.__setattr__(self, "transforms", _checked_transforms(self.transforms))

    def rate(self, depth: int, top: int) -> float:
        return self.layer_decay ** (top - depth)

    def check_model(self, model, depths: dict[str, int]) -> None:
        for transform in self.transforms:
            transform.check(model, depths, self)

    def trainable(self, model, depths: dict[str, int]) -> int:
        held, sizes = self._held(model), {name: parameter.numel() for name, parameter in model.named_parameters()}
        top = max(depths.values())
        ever = {name for name in held if self.trains(name, depths[name], top)}
        return super().trainable(model, depths) - sum(sizes[name] for name in ever)

    def prepare(self, model, depths: dict[str, int]):
        model = super().prepare(model, depths)
        for transform in self.transforms:
            transform.apply(model, depths)
        held = self._held(model)
        for name, parameter in model.named_parameters():
            if name in held:
                parameter.requires_grad_(False)
        return model

    def finish(self, model):
        for transform in reversed(self.transforms):
            transform.restore(model)
        return super().finish(model)

    def _held(self, model) -> set[str]:
        return set().union(*(transform.holds(model) for transform in self.transforms))


def _checked_transforms(transforms) -> tuple:
    """Refuse what is no transform, one kind twice, and two that contradict each other."""
    if not isinstance(transforms, list | tuple):
        raise UserError(f"strategy.transforms is {transforms!r}; allowed: a tuple of {_TRANSFORMS}")
    for one in transforms:
        if isinstance(one, type) or not (is_dataclass(one) and hasattr(one, "restore")):
            raise UserError(f"strategy.transforms holds {one!r}; allowed: {_TRANSFORMS}")
    kinds = [type(one).__name__ for one in transforms]
    if len(set(kinds)) < len(kinds):
        raise UserError(f"strategy.transforms holds {' and '.join(kinds)}; allowed: each of them once")
    if {"StochNorm", "FreezeBatchNorm"} <= set(kinds):
        raise UserError(
            "strategy.transforms holds StochNorm, which mixes in the batch's statistics, and FreezeBatchNorm, which "
            "leaves them out; take one of them"
        )
    return tuple(transforms)


_TRANSFORMS = "ReinitTop(...), StochNorm(...), FreezeBatchNorm(...)"
