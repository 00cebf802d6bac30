"""Stay near the weights that training started from."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Objective
from .checks import not_negative


@dataclass(frozen=True)
class L2SP(Objective):
    """L2-SP (Li et al. 2018, equation 2): alpha / 2 * ||w - w0||^2 over the backbone, plus beta / 2 * ||w_head||^2.

    w0 are the backbone's weights when the objective is built: the checkpoint's, or in a later stage those it starts
    from. It takes the place of weight decay, which pulls towards zero.

    Args:
        alpha (`float`): strength on the backbone.
        beta (`float`): strength on the head.
    """

    alpha: float = 0.1
    beta: float = 0.01

    def __post_init__(self):
        not_negative(self, "alpha", "beta")

    def check(self, frozen: bool, problem_type: str) -> None:
        if frozen:
            raise UserError(
                "L2SP holds a backbone that moves near to where it was, and FrozenFeatures moves none; leave it out, "
                "or give it to the stage that trains the backbone"
            )

    def build(self, context):
        """Return the module that computes it; see [`L2SPTerm`]."""
        from .l2_sp_term import L2SPTerm

        return L2SPTerm(context, self.alpha, self.beta)
