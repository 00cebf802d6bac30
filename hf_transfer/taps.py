"""Reading what the last layer reads, whatever the architecture around it."""

import torch
from torch import nn


def last_layer(model: nn.Module) -> nn.Module:
    """Return the layer that gives the logits, of a model or of its replay.

    Raises:
        `ValueError`: the model's head has no such layer.
    """
    if hasattr(model, "timm_model"):
        return model.timm_model.get_classifier()
    if hasattr(model, "classifier") and isinstance(model.classifier, nn.Linear | nn.Conv2d):
        return model.classifier
    head = getattr(model, "head", None)
    if isinstance(getattr(head, "out", None), nn.Linear):
        return head.out
    shell = getattr(model, "shell", model)
    inside = {id(module) for module in shell.base_model.modules()} if hasattr(shell, "base_model") else set()
    layers = [m for m in shell.modules() if isinstance(m, nn.Linear) and id(m) not in inside]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no linear layer outside its backbone")
    return layers[-1]


class LastLayerInput:
    """Keeps the input of a model's last layer: the features that become logits.

    Args:
        model (`nn.Module`): its [`last_layer`] is watched.
    """

    def __init__(self, model: nn.Module):
        self.value: torch.Tensor | None = None
        self.handle = last_layer(model).register_forward_pre_hook(self._keep)

    def _keep(self, module, inputs) -> None:
        self.value = inputs[0]

    def take(self) -> torch.Tensor:
        """Return the features of the last forward pass, of shape `(batch, width)`, and let go of them."""
        value, self.value = self.value, None
        return value.flatten(1)

    def remove(self) -> None:
        self.handle.remove()
