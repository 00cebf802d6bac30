"""BatchNorm layers that behave otherwise while they are trained.

A layer gets another class and keeps all else: its parameters, its buffers and their names, and what timm's own
BatchNorm does behind the normalisation (dropout and an activation). So checkpoints, parameter groups and depths do not
notice.
"""

from functools import cache

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import UserError


class Standing:
    """In evaluation mode for ever; what hangs behind it follows the training mode."""

    def train(self, mode: bool = True):
        super().train(mode)
        self.training = False
        return self


class Stochastic:
    """Normalises each channel by the statistics of the batch with probability `p`, else by the running ones."""

    p: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        momentum, eps = self._momentum(), self.eps
        # Copies: the next line moves the running statistics, which the backward pass of this one reads again.
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        running = F.batch_norm(x, mean, variance, self.weight, self.bias, False, 0.0, eps)
        batch = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, momentum, eps)
        chosen = torch.rand(x.shape[1], device=x.device) < self.p
        x = torch.where(chosen.view(1, -1, *[1] * (x.ndim - 2)), batch, running)
        for name in ("drop", "act"):  # of timm's BatchNormAct2d
            x = getattr(self, name)(x) if isinstance(getattr(self, name, None), nn.Module) else x
        return x

    def _momentum(self) -> float:
        self.num_batches_tracked.add_(1)
        return 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum


@cache
def _changed(kind: type, cls: type) -> type:
    """The class of BatchNorm `cls` that behaves as `kind` says."""
    return type(f"{kind.__name__}{cls.__name__}", (kind, cls), {})


def batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Return the BatchNorm layers that keep running statistics, by name."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    return {name: module for name, module in found.items() if module.track_running_stats}


def change(model: nn.Module, kind: type) -> list[nn.Module]:
    """Let every BatchNorm behave as `kind` says, and return them."""
    found = list(batch_norms(model).values())
    for module in found:
        if not isinstance(module, kind):
            module.__class__ = _changed(kind, type(module))
    return found


def change_back(model: nn.Module, kind: type) -> None:
    """Give every BatchNorm its own class again."""
    for module in batch_norms(model).values():
        if isinstance(module, kind):
            mode = model.training
            module.__class__ = type(module).__mro__[2]
            module.__dict__.pop("p", None)
            module.train(mode)


def check_any(name: str, model: nn.Module) -> dict[str, nn.Module]:
    """Refuse a model without BatchNorm."""
    found = batch_norms(model)
    if not found:
        kind = getattr(model.config, "architecture", None) or model.config.model_type
        raise UserError(f"strategy.transforms: {name} needs BatchNorm, and {kind} has none; leave it out")
    return found


def check_trained(name: str, model: nn.Module, depths: dict[str, int], strategy) -> None:
    """Refuse a model without BatchNorm, and a strategy under which all of them stand still."""
    norms, top = check_any(name, model), max(depths.values())
    own = [f"{norm}.{part}" for norm, module in norms.items() for part, _ in module.named_parameters()]
    if not any(strategy.trains(one, depths[one], top) for one in own):
        raise UserError(
            f"strategy.transforms: {name} acts on BatchNorm that trains, and strategy {type(strategy).__name__} holds "
            "all of them still; use FullFineTune"
        )
