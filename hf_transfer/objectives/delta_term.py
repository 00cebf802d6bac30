"""The module behind [`DELTA`]."""

import copy

import torch

from .apart import Apart
from .outputs import ModuleOutputs
from .terms import Context, Seen, Term


class DELTATerm(Term):
    """Distance of feature maps to those before training, summed over rows; see [`DELTA`].

    Args:
        context (`Context`): its model, as it is now, is what feature maps are kept near to.
        top (`int`, *optional*): how many blocks or stages, at most as many as there are.
    """

    name = "delta"

    def __init__(self, context: Context, top: int | None):
        super().__init__()
        names = context.blocks.names
        usual = min(4, len(names)) if context.blocks.stages else -(-len(names) // 2)
        self.watches = names[-(top or usual) :]
        self.channels_last = context.blocks.channels_last
        self.reference = Apart(copy.deepcopy(context.model), context.precision)
        self.before = ModuleOutputs(self.reference.model, self.watches)

    def forward(self, seen: Seen) -> torch.Tensor:
        self.reference(seen.logits.device, **seen.inputs)
        before, mask = self.before.take(), seen.inputs.get("attention_mask")
        rows = torch.zeros_like(seen.weights)
        for name in self.watches:
            now, then = (positions(maps[name], self.channels_last) for maps in (seen.outputs, before))
            rows = rows + map_distance(now, then, mask)
        return (rows * seen.weights).sum()


def positions(output, channels_last: bool) -> torch.Tensor:
    """Bring what a block gives to shape `(batch, positions, channels)`.

    Args:
        output (`torch.Tensor` or `tuple`): token states of that shape, or maps of shape `(batch, C, H, W)`; a tuple
            begins with them.
        channels_last (`bool`): maps are of shape `(batch, H, W, C)`.
    """
    output = output[0] if isinstance(output, tuple) else output
    if output.ndim == 4:
        output = output.flatten(1, 2) if channels_last else output.flatten(2).transpose(1, 2)
    return output


def map_distance(now: torch.Tensor, then: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return each row's squared distance between two maps: summed over channels, averaged over positions.

    Args:
        now, then (`torch.Tensor` of shape `(batch, positions, channels)`).
        mask (`torch.Tensor` of shape `(batch, positions)`, *optional*): 1 where a position counts.
    """
    squared = (now.float() - then.float()).pow(2).sum(-1)
    if mask is None:
        return squared.mean(-1)
    return (squared * mask).sum(-1) / mask.sum(-1)
