"""Model and objective as one module: what the trainer trains when an objective has parameters of its own."""

from collections.abc import Mapping

import torch
from torch import nn

from .objectives.outputs import ModuleOutputs
from .objectives.terms import Seen
from .taps import LastLayerInput


class Joint(nn.Module):
    """A model with the objective that watches it.

    Parameters of an objective (a source head, a domain discriminator) that stand outside of what DDP wraps drift apart
    between ranks, and outside of what `Trainer` saves they are missing from its checkpoints. As one module they are
    trained, wrapped, saved and resumed together. The objective is computed inside `forward`, because DDP takes
    parameters that its forward pass did not reach for unused. The model itself stays what it was: it is saved alone.

    Whatever else is asked of it, such as `config`, the model answers.

    Args:
        model (`nn.Module`): with `logits` among its outputs.
        objective (`StepLoss`): what is minimised.
    """

    def __init__(self, model: nn.Module, objective: nn.Module):
        super().__init__()
        self.model, self.objective = model, objective
        self.last_input = LastLayerInput(model) if objective.reads_features else None
        self.outputs = ModuleOutputs(model, objective.watches) if objective.watches else None

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":  # not there yet: asking the model for it would never end
                raise
            return getattr(self.model, name)

    @property
    def learns(self) -> bool:
        """Whether both must be trained as one: the objective has parameters, or reads some that a step's forward pass
        may not reach (`inside`), which DDP must not take for unused."""
        return getattr(self.objective, "inside", False) or any(True for _ in self.objective.parameters())

    def depths(self, depths: Mapping[str, int]) -> dict[str, int]:
        """Return the depths of all parameters by their names in this module; the objective's count as the head's."""
        top = max(depths.values())
        own = {f"model.{name}": depth for name, depth in depths.items()}
        return own | {f"objective.{name}": top for name, _ in self.objective.named_parameters()}

    def forward(
        self, labels: torch.Tensor | None = None, progress: float = 0.0, rows: Mapping | None = None, **inputs
    ):
        """Return the model's outputs; with `labels`, as in training, beside them the [`parts`] of the objective."""
        outputs = self.model(**inputs)
        if labels is None:
            return outputs
        with torch.autocast(labels.device.type, enabled=False):  # as it is outside of what Accelerate wraps
            return outputs, self.parts(inputs, outputs, labels, progress, rows)

    def parts(
        self, inputs: Mapping, outputs, labels: torch.Tensor, progress: float, rows: Mapping | None = None
    ) -> dict[str, torch.Tensor]:
        """Return each part of the objective, summed over rows.

        Args:
            inputs (`Mapping[str, torch.Tensor]`), outputs: of the forward pass that has just been.
            labels (`torch.Tensor`): as [`SupervisedLoss`] reads them.
            progress (`float`): share of the training that is done.
            rows (`Mapping[str, torch.Tensor]`, *optional*): `weights` and `domains` of the rows, where a training has
                two domains.
        """
        seen = Seen(
            model=self.model,
            inputs=inputs,
            logits=outputs.logits,
            labels=labels,
            features=None if self.last_input is None else self.last_input.take(),
            progress=progress,
            outputs={} if self.outputs is None else self.outputs.take(),
            **(rows or {"weights": self.objective.row_weights(labels)}),
        )
        return self.objective(seen)

    def let_go(self) -> None:
        """Take off the model what watched it."""
        for watcher in (self.last_input, self.outputs):
            if watcher is not None:
                watcher.remove()
