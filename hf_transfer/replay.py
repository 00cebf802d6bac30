"""A model cut to its trainable part: the same head, fed with backbone outputs that were computed once.

Each class shares its head's parameters with the full model, so what is learnt here is learnt there. `keeps` names
what must be recorded: "pooled" `(width,)` or "tokens" `(length, width)` per row; `layers`, how many layers are
recorded apart because their fusion is learnt, if any: `(layers, width)` and `(length, layers, width)` then;
`pools_tokens` says that the pooled vector follows from the token states alone: then a recording of those serves too.
"""

import copy

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling, ImageClassifierOutput


def replay_of(model: nn.Module) -> nn.Module:
    """Return the replay module that fits `model`."""
    if model.config.model_type == "timm_wrapper":
        return ImageReplay(model)
    if model.config.model_type == "transfer_fused":
        return FusedReplay(model)
    if model.base_model_prefix == "backbone":
        return TransferReplay(model)
    return TextReplay(model)


class TransferReplay(nn.Module):
    """Our own models: fusion of layers, pooling and head, on tokens or on pooled vectors."""

    def __init__(self, model):
        super().__init__()
        self.config, self.head, self.pooling, self.fusion = model.config, model.head, model.pooling, model.fusion
        waits = self.pooling is not None and (
            self.pooling.learned or (self.fusion is not None and not self.pooling.linear)
        )
        self.keeps = ("pooled",) if model.head.reads == "pooled" and not waits else ("tokens",)
        self.pools_tokens = self.keeps == ("pooled",) and model.pooling is not None
        self.layers = None if self.fusion is None else len(self.config.fusion["layers"])

    @torch.no_grad()
    def record(self, model, batch: dict) -> dict[str, torch.Tensor]:
        features = model.read(**batch)
        pooled = self.pool(features.tokens, features.mask) if self.pools_tokens else features.pooled
        return {"tokens": features.tokens, "mask": features.mask, "pooled": pooled}

    @property
    def linear(self) -> nn.Linear | None:
        """The layer, when the head is a single one on recorded vectors."""
        alone = self.keeps == ("pooled",) and self.fusion is None and type(self.head).__name__ == "LinearHead"
        return self.head.out if alone else None

    def pool(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool token states of any precision in float32, as far as nothing is learnt."""
        from .hub.fusion_transfer import pool_first
        from .hub.heads_transfer import Features

        return pool_first(Features(tokens.float(), mask), self.pooling, self.fusion).pooled

    def forward(self, tokens=None, mask=None, pooled=None, **kwargs):
        from .hub.fusion_transfer import mix_and_pool
        from .hub.heads_transfer import Features

        features = mix_and_pool(Features(tokens, mask, pooled), self.pooling, self.fusion)
        return ImageClassifierOutput(logits=self.head(features))


class ImageReplay(nn.Module):
    """Stock timm classifier: its last layer on the pooled features."""

    keeps = ("pooled",)
    layers = None
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

    layers = None
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


class FusedReplay(nn.Module):
    """A fused model: the fusion and the head, on what each part's own replay reads."""

    keeps = ("parts",)
    pools_tokens = False

    def __init__(self, model):
        super().__init__()
        self.config, self.fusion, self.head = model.config, model.fusion, model.head
        self.parts = nn.ModuleDict({name: TransferReplay(part) for name, part in model.parts.items()})
        self.inputs_of = model.inputs_of

    @property
    def linear(self) -> nn.Linear | None:
        """The layer, when the head is a single one and nothing else learns."""
        learns = any(True for _ in self.fusion.parameters()) or any(True for _ in self.parts.parameters())
        return self.head.out if type(self.head).__name__ == "LinearHead" and not learns else None

    @torch.no_grad()
    def fused(self, pooled: dict[str, torch.Tensor]) -> torch.Tensor:
        """Join recorded vectors of the parts: what a single linear layer is fitted on."""
        return self.fusion(pooled)

    def forward(self, **recorded):
        from .hub.heads_transfer import Features

        # A part's head passes its pooled features on, so they are what its replay says.
        pooled = {name: part(**self.inputs_of(name, recorded)).logits for name, part in self.parts.items()}
        return ImageClassifierOutput(logits=self.head(Features(pooled=self.fusion(pooled))))
