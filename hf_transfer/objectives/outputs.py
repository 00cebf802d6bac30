"""Reading what modules inside a model give, whatever the architecture around them."""

from collections.abc import Sequence
from typing import Any

from torch import nn


class ModuleOutputs:
    """Keeps the outputs of named modules.

    Args:
        model (`nn.Module`): it is watched until [`remove`].
        names (`Sequence[str]`): of modules inside it, as `named_modules` gives them.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]):
        self.values: dict[str, Any] = {}
        self.handles = [model.get_submodule(name).register_forward_hook(self._keeper(name)) for name in names]

    def _keeper(self, name: str):
        def keep(module, inputs, output) -> None:
            self.values[name] = output

        return keep

    def take(self) -> dict[str, Any]:
        """Return the outputs of the last forward pass by name, and let go of them."""
        values, self.values = self.values, {}
        return values

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()
