"""The module behind [`L2SP`]."""

import torch

from .terms import Context, Seen, Term


class L2SPTerm(Term):
    """alpha / 2 * ||w - w0||^2 over backbone parameters, plus beta / 2 * ||w||^2 over the head's.

    Args:
        context (`Context`): its model's weights are w0.
        alpha, beta (`float`): see [`L2SP`].
    """

    name = "l2_sp"

    def __init__(self, context: Context, alpha: float, beta: float):
        super().__init__()
        self.alpha, self.beta = alpha, beta
        self.depths, self.top = dict(context.depths), max(context.depths.values())
        # Not a buffer: a copy of the whole network has no place in a checkpoint.
        self.start = {
            name: parameter.detach().clone()
            for name, parameter in context.model.named_parameters()
            if parameter.requires_grad and self.depths[name] < self.top
        }

    def forward(self, seen: Seen) -> torch.Tensor:
        near, small = seen.logits.new_zeros((), dtype=torch.float32), seen.logits.new_zeros((), dtype=torch.float32)
        for name, parameter in seen.model.named_parameters():
            if not parameter.requires_grad:
                continue
            if self.depths[name] == self.top:
                small = small + parameter.float().pow(2).sum()
            else:
                near = near + (parameter.float() - self.start[name].to(parameter.device).float()).pow(2).sum()
        return (self.alpha / 2 * near + self.beta / 2 * small) * seen.counted
