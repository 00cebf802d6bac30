"""Two pretrained backbones under one head, as an ordinary transformers model."""

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel

from .configuration_fused import TransferFusedConfig
from .heads_transfer import HEADS, Features
from .modeling_transfer import TransferForImageClassification, TransferForSequenceClassification

PART_MODELS = {
    model.config_class.model_type: model
    for model in (TransferForSequenceClassification, TransferForImageClassification)
}


class Fusion(nn.Module):
    """Pooled features of two parts, `(batch, width_1)` and `(batch, width_2)`, to one vector per row.

    `"concat"` puts them side by side. `"weighted"` is `alpha * P_1 F_1 + (1 - alpha) * P_2 F_2`, where each `P` is a
    learned linear layer, or nothing with `width=None`.

    Args:
        kind (`str`): `"concat"` or `"weighted"`.
        widths (`dict[str, int]`): of the parts, by name.
        alpha (`float`, *optional*): the first part's weight; `None` learns it as a sigmoid, so that it stays between
            0 and 1, starting at one half.
        width (`int`, *optional*): what the parts are projected to.
    """

    def __init__(self, kind: str, widths: dict[str, int], alpha: float | None = 0.5, width: int | None = None):
        super().__init__()
        self.kind, self.names = kind, tuple(widths)
        self.width = sum(widths.values()) if kind == "concat" else width or next(iter(widths.values()))
        projected = kind == "weighted" and width is not None
        self.projections = nn.ModuleDict({n: nn.Linear(w, width) for n, w in widths.items()} if projected else {})
        self.fixed = alpha
        if kind == "weighted" and alpha is None:
            self.logit = nn.Parameter(torch.zeros(()))

    @property
    def alpha(self) -> torch.Tensor | float:
        """The first part's weight."""
        return self.logit.sigmoid() if self.fixed is None else self.fixed

    def forward(self, pooled: dict[str, torch.Tensor]) -> torch.Tensor:
        if self.kind == "concat":
            return torch.cat([pooled[name] for name in self.names], dim=-1)
        first, second = (self.projections[n](pooled[n]) if self.projections else pooled[n] for n in self.names)
        return self.alpha * first + (1 - self.alpha) * second


class TransferForFusedClassification(PreTrainedModel):
    """Two backbones, each with its own pooling, the fusion of their features, and a head.

    Reads what each part reads under the part's name: with parts `source` (texts) and `target` (images)
    `source_input_ids`, `source_attention_mask` and `target_pixel_values`. Returns logits of shape
    `(batch, num_labels)`.

    Args:
        config (`TransferFusedConfig`): what it is made of.
        parts (`dict`, *optional*): the parts, already loaded.
    """

    config_class = TransferFusedConfig
    base_model_prefix = "parts"
    supports_gradient_checkpointing = True

    def __init__(self, config, parts: dict[str, nn.Module] | None = None):
        super().__init__(config)
        self.num_labels = config.num_labels
        if parts is None:
            parts = {name: PART_MODELS[part.model_type](part) for name, part in config.parts.items()}
        self.parts = nn.ModuleDict(parts)
        widths = {name: part.feature_width() for name, part in self.parts.items()}
        self.fusion = Fusion(config.fusion, widths, config.alpha, config.width)
        arguments = {key: value for key, value in config.head.items() if key != "kind"}
        self.head = HEADS[config.head["kind"]](self.fusion.width, config.num_labels, **arguments)
        self.post_init()

    def _init_weights(self, module):
        # As for the parts: PyTorch's own defaults, for what a checkpoint does not bring.
        if isinstance(module, nn.Linear):
            module.reset_parameters()

    def get_input_embeddings(self):
        """Of the first part that has any; image nets have none."""
        texts = (part for part in self.parts.values() if part.main_input_name == "input_ids")
        return next((part.get_input_embeddings() for part in texts), None)

    def inputs_of(self, name: str, inputs: dict) -> dict:
        """Return the inputs of one part under the names that it gives them."""
        prefix = f"{name}_"
        return {key.removeprefix(prefix): value for key, value in inputs.items() if key.startswith(prefix)}

    def forward(self, labels=None, return_dict=None, **inputs):
        pooled = {}
        for name, part in self.parts.items():
            own = self.inputs_of(name, inputs)
            if not own:
                first = "input_ids" if part.main_input_name == "input_ids" else "pixel_values"
                raise ValueError(f"the inputs of part {name!r} are missing: {name}_{first}, ...")
            pooled[name] = part.encode(**own).pooled
        logits = self.head(Features(pooled=self.fusion(pooled)))
        loss = None if labels is None else self.loss(logits, labels)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    loss = TransferForSequenceClassification.loss
