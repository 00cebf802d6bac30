"""Linear layers whose weights oneDNN has laid out for its products beforehand, not anew at every call."""

import torch
from torch import nn
from torch.nn import functional as F

ROWS = 4096  # tokens in a batch, for which oneDNN chooses the layout; any number computes right


class PackedLinear(nn.Linear):
    """`nn.Linear` without a gradient, in bfloat16 on a CPU; its products are oneDNN's, as those of `nn.Linear` are.

    PyTorch's own compiler calls the same two operators for a model whose weights are frozen.
    """

    def pack(self) -> None:
        """Lay the weight out; to be called once, and again if the weight changes."""
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), ROWS)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.dtype != self.weight.dtype or inputs.requires_grad:
            return F.linear(inputs, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], None)


def pack_linear(model: nn.Module) -> int:
    """Turn the linear layers of a model that stands still into packed ones, in place, where this CPU gains from it.

    A layer of a class of its own is left alone, and so is everything in another dtype than bfloat16.

    Returns:
        `int`: how many were packed.
    """
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return 0
    layers = [
        module
        for module in model.modules()
        if type(module) is nn.Linear and module.weight.device.type == "cpu" and module.weight.dtype == torch.bfloat16
    ]
    for layer in layers:
        layer.__class__ = PackedLinear
        layer.pack()
    return len(layers)
