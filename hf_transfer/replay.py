"""A model cut to its trainable part: the same head, fed with backbone outputs that were computed once.

Each class shares its head's parameters with the full model, so what is learnt here is learnt there. `keeps` names
what must be recorded: "pooled" `(width,)` or "tokens" `(length, width)` per row; `pools_tokens` says that the pooled
vector follows from the token states alone, so that a recording of those serves too.
"""

import copy

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling, ImageClassifierOutput


def replay_of(model: nn.Module) -> nn.Module:
    """Return the replay module that fits `model`."""
    if model.config.model_type == "timm_wrapper":
        return ImageReplay(model)
    if model.base_model_prefix == "backbone":
        return TransferReplay(model)
    return TextReplay(model)


class TransferReplay(nn.Module):
    """Our own models: pooling and head, on tokens or on pooled vectors."""

    def __init__(self, model):
        super().__init__()
        self.config, self.head, self.pooling = model.config, model.head, model.pooling
        learned = model.pooling is not None and any(True for _ in model.pooling.parameters())
        self.keeps = ("pooled",) if model.head.reads == "pooled" and not learned else ("tokens",)
        self.pools_tokens = self.keeps == ("pooled",) and model.pooling is not None

    @torch.no_grad()
    def record(self, model, batch: dict) -> dict[str, torch.Tensor]:
        features = model.read(**batch)
        pooled = self.pool(features.tokens, features.mask) if self.pools_tokens else features.pooled
        return {"tokens": features.tokens, "mask": features.mask, "pooled": pooled}

    @property
    def linear(self) -> nn.Linear | None:
        """The layer, when the head is a single one on recorded vectors."""
        return self.head.out if self.keeps == ("pooled",) and type(self.head).__name__ == "LinearHead" else None

    def pool(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool token states of any precision in float32."""
        return self.pooling(tokens.float(), mask)

    def forward(self, tokens=None, mask=None, pooled=None, **kwargs):
        from .hub.heads_transfer import Features

        if pooled is None and self.pooling is not None:
            pooled = self.pooling(tokens, mask)
        return ImageClassifierOutput(logits=self.head(Features(tokens, mask, pooled)))


class ImageReplay(nn.Module):
    """Stock timm classifier: its last layer on the pooled features."""

    keeps = ("pooled",)
    pools_tokens = False

    def __init__(self, model):
        super().__init__()
        self.config, self.classifier = model.config, model.timm_model.get_classifier()
        self.drop = nn.Dropout(getattr(model.timm_model, "drop_rate", 0.0) or 0.0)

    @staticmethod
    @torch.no_grad()
    def record(model, batch: dict) -> dict[str, torch.Tensor]:
        net = model.timm_model
        return {"pooled": net.forward_head(net.forward_features(batch["pixel_values"]), pre_logits=True)}

    @property
    def linear(self) -> nn.Linear | None:
        """The layer, when the head is a single one on recorded vectors."""
        return self.classifier if isinstance(self.classifier, nn.Linear) else None

    def forward(self, pooled, **kwargs):
        return ImageClassifierOutput(logits=self.classifier(self.drop(pooled)))


class TextReplay(nn.Module):
    """Stock text classifier: the model itself with a recording in the place of its encoder."""

    pools_tokens = False
    linear = None

    def __init__(self, model):
        super().__init__()
        self.config = model.config
        shell = copy.copy(model)
        shell._modules = {**model._modules, model.base_model_prefix: _Recording()}
        self.shell = shell
        pooler = getattr(model.base_model, "pooler", None)
        self.keeps = ("tokens",) if pooler is None else ("tokens", "pooled")

    @staticmethod
    @torch.no_grad()
    def record(model, batch: dict) -> dict[str, torch.Tensor]:
        outputs = model.base_model(**batch)
        pooled = getattr(outputs, "pooler_output", None)
        return {"tokens": outputs.last_hidden_state, "mask": batch["attention_mask"], "pooled": pooled}

    def forward(self, tokens, mask, pooled=None, **kwargs):
        recording = self.shell._modules[self.shell.base_model_prefix]
        recording.outputs = BaseModelOutputWithPooling(last_hidden_state=tokens, pooler_output=pooled)
        # The ids are never read: the encoder that would read them is the recording. They carry the shape.
        return self.shell(input_ids=mask, attention_mask=mask)


class _Recording(nn.Module):
    outputs = None

    def forward(self, *args, **kwargs):
        return self.outputs
