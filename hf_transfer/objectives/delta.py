"""Keep what the pretrained model sees in each input, rather than its weights."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Objective
from .checks import at_least_one


@dataclass(frozen=True)
class DELTA(Objective):
    """DELTA (Li et al. 2019): the distance of the feature maps to those of the model before training,

        sum_j sum_c W_jc * ||FM_jc(w, x) - FM_jc(w0, x)||^2,

    averaged over the batch; j are blocks, c their channels. As in the authors' code for weighted channels, a squared
    norm is averaged over the positions of the map (the tokens of a text, without padding), so that its strength does
    not grow with their number. All channels weigh 1 here: the attention that the paper learns beforehand, by the loss
    without each channel in turn, takes as many forward passes as there are channels. A weight to start from is 0.01:
    `Supervised() + 0.01 * DELTA()`.

    Args:
        top (`int`, *optional*): how many blocks, or stages of a convolutional net, counted from the head. By default
            the upper half of the blocks of an encoder, and the four last stages of a convolutional net, each as its
            last block leaves it.
    """

    top: int | None = None

    def __post_init__(self):
        if self.top is not None:
            at_least_one(self, "top")

    def check(self, frozen: bool, problem_type: str) -> None:
        if frozen:
            raise UserError(
                "DELTA keeps the feature maps of a backbone that moves, and FrozenFeatures moves none; leave it out, "
                "or give it to the stage that trains the backbone"
            )

    def check_blocks(self, blocks) -> None:
        count = len(blocks.names)
        if not count:
            raise UserError("DELTA compares what the blocks of a backbone give, and this backbone has none")
        if self.top is not None and self.top > count:
            raise UserError(f"DELTA.top is {self.top}; this backbone has {count} blocks or stages")

    def build(self, context):
        """Return the module that computes it; see [`DELTATerm`].

        Raises:
            `UserError`: the backbone has no blocks, or fewer.
        """
        from .delta_term import DELTATerm

        self.check_blocks(context.blocks)
        return DELTATerm(context, self.top)
