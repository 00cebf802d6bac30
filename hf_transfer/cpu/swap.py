"""Faster dropout in a model of anybody's, for as long as it trains on a CPU."""

from torch import nn
from transformers import PreTrainedModel

from .attention import NAME
from .dropout import FastDropout


class FastRandomness:
    """Give a model's dropout layers, and its attention with dropout, faster random numbers until [`let_go`].

    Names, parameters and evaluation stay what they are; so does the distribution of what is drawn, up to what
    [`dropout_noise`] says. A layer of a class of its own, or a call of `torch.nn.functional.dropout`, is left alone.

    Args:
        model (`nn.Module`): what is trained, on a CPU.
    """

    def __init__(self, model: nn.Module):
        self.layers = [module for module in model.modules() if type(module) is nn.Dropout]
        self.configs = _with_sdpa(model)
        for layer in self.layers:
            layer.__class__ = FastDropout  # the same layer for whoever holds it
        for config in self.configs:
            config._attn_implementation_internal = NAME  # the public setter would change nested configs too

    def let_go(self) -> None:
        """Put everything back; a second time does nothing."""
        for layer in self.layers:
            layer.__class__ = nn.Dropout
        for config in self.configs:
            config._attn_implementation_internal = "sdpa"
        self.layers, self.configs = [], []


def _with_sdpa(model: nn.Module) -> list:
    """Return the configs that send the attention of some part of the model through transformers' `sdpa`."""
    configs = [
        module.config
        for module in model.modules()
        if isinstance(module, PreTrainedModel) and module._can_set_attn_implementation()
    ]
    return list({id(config): config for config in configs if config._attn_implementation == "sdpa"}.values())
