"""A pretrained backbone with a head of ours, as ordinary transformers models."""

import torch
from torch import nn
from transformers import AutoModel
from transformers.modeling_outputs import BaseModelOutput, ImageClassifierOutput, SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel

from .configuration_transfer import TransferImageConfig, TransferTextConfig
from .heads_transfer import HEADS, Features, Pooling


class _TransferModel(PreTrainedModel):
    """Backbone, then pooling, then head; `backbone` may be handed in already loaded."""

    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True

    def __init__(self, config, backbone: nn.Module | None = None):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.backbone = self.build_backbone(config) if backbone is None else backbone
        width = self.feature_width()
        arguments = {key: value for key, value in config.head.items() if key != "kind"}
        self.head = HEADS[config.head["kind"]](width, config.num_labels, **arguments)
        needs_pooling = self.head.reads == "pooled" and config.pooling != "pooler"
        self.pooling = Pooling(config.pooling, width, config.normalize) if needs_pooling else None
        self.post_init()

    def _init_weights(self, module):
        # Called for what a checkpoint does not bring. PyTorch's own defaults suit every head; the linear layers get
        # them explicitly because the base class would draw from a narrower normal distribution.
        if isinstance(module, nn.Linear | nn.LSTM):
            module.reset_parameters()

    def encode(self, *inputs, **named) -> Features:
        """Run the backbone and pool: all that a head may read."""
        features = self.read(*inputs, **named)
        if self.pooling is None:
            return features
        return features._replace(pooled=self.pooling(features.tokens, features.mask))

    def loss(self, logits, labels):
        """Mean loss over the batch by `config.problem_type`; training sums over the global step instead."""
        kind = self.config.problem_type
        if kind == "regression":
            return nn.functional.mse_loss(logits.squeeze(-1).float(), labels.squeeze(-1).float())
        if kind == "multi_label_classification":
            return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float())
        return nn.functional.cross_entropy(logits.float(), labels)


class InputEmbeddings(nn.Module):
    """A checkpoint's input embedding matrix alone, in the place of an encoder."""

    def __init__(self, vocab_size: int, width: int):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, width)

    def get_input_embeddings(self):
        return self.word_embeddings

    def forward(self, input_ids, attention_mask=None, **kwargs):
        return BaseModelOutput(last_hidden_state=self.word_embeddings(input_ids))


class TransferForSequenceClassification(_TransferModel):
    """A text encoder with a head of ours.

    Reads token ids of shape `(batch, length)`, padded on the right; returns logits of shape `(batch, num_labels)`.
    """

    config_class = TransferTextConfig

    @staticmethod
    def build_backbone(config):
        encoder = config.backbone_config
        if config.embeddings_only:
            width = getattr(encoder, "embedding_size", None) or encoder.hidden_size
            return InputEmbeddings(encoder.vocab_size, width)
        # The encoder is one that transformers has; without the refusal it might ask to run code of a third party.
        backbone = AutoModel.from_config(encoder, trust_remote_code=False)
        if config.pooling != "pooler" and getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None  # a layer that nothing reads would be saved, and would stall DDP
        return backbone

    def feature_width(self) -> int:
        if self.config.embeddings_only:
            return self.backbone.word_embeddings.embedding_dim
        return self.config.backbone_config.hidden_size

    def get_input_embeddings(self):
        return self.backbone.get_input_embeddings()

    def read(self, input_ids, attention_mask=None, token_type_ids=None) -> Features:
        """Run the backbone: token states, mask, and what its own pooler says where it has one."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        outputs = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **extra)
        return Features(outputs.last_hidden_state, attention_mask, getattr(outputs, "pooler_output", None))

    def forward(
        self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None, return_dict=None, **kwargs
    ):
        logits = self.head(self.encode(input_ids, attention_mask, token_type_ids))
        loss = None if labels is None else self.loss(logits, labels)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class TransferForImageClassification(_TransferModel):
    """A timm net with a head of ours.

    Reads pixels of shape `(batch, channels, height, width)`; returns logits of shape `(batch, num_labels)`. Positions
    of the feature map, row by row, are the tokens.
    """

    config_class = TransferImageConfig
    main_input_name = "pixel_values"

    @staticmethod
    def build_backbone(config):
        return cut(AutoModel.from_config(config.backbone_config, trust_remote_code=False), config)

    def feature_width(self) -> int:
        net, layer = self.backbone.timm_model, self.config.layer
        if layer is not None:
            return net.feature_info[layer]["num_chs"]
        # Some nets widen the pooled vector after pooling (MobileNetV3's last convolution): tokens come before it.
        pooled = self.config.pooling == "pooler" and HEADS[self.config.head["kind"]].reads == "pooled"
        return net.head_hidden_size if pooled else net.num_features

    def read(self, pixel_values) -> Features:
        """Run the backbone: positions of its feature map, a mask of ones, and its own global pooling."""
        if self.config.layer is None:
            outputs = self.backbone(pixel_values)
            maps, pooled = outputs.last_hidden_state, outputs.pooler_output
        else:
            net, pixels = self.backbone.timm_model, pixel_values.to(self.dtype)
            maps = net.forward_intermediates(
                pixels, indices=[self.config.layer], stop_early=True, intermediates_only=True
            )[0]
            pooled = maps.flatten(2).mean(2)
        tokens = self.as_tokens(maps)
        mask = tokens.new_ones(tokens.shape[:2], dtype=torch.long)
        return Features(tokens, mask, pooled)

    def as_tokens(self, maps: torch.Tensor) -> torch.Tensor:
        """Feature maps, `(batch, C, H, W)` or `(batch, H, W, C)`, or tokens already, to `(batch, positions, C)`."""
        if maps.ndim == 3:
            return maps
        if getattr(self.backbone.timm_model, "output_fmt", "NCHW") == "NHWC" and self.config.layer is None:
            return maps.flatten(1, 2)
        return maps.flatten(2).transpose(1, 2)

    def forward(self, pixel_values=None, labels=None, return_dict=None, **kwargs):
        logits = self.head(self.encode(pixel_values))
        loss = None if labels is None else self.loss(logits, labels)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return ImageClassifierOutput(loss=loss, logits=logits)


def cut(backbone: nn.Module, config) -> nn.Module:
    """Take off what the head never reads.

    VGG keeps its two 4096-wide dense layers (120 M parameters) as `pre_logits` even without a classifier, while
    "without top" means its pooled convolutional features; and with `layer` the stages above it go.
    """
    net = backbone.timm_model
    if isinstance(getattr(net, "pre_logits", None), nn.Module):
        net.pre_logits = nn.Identity()
        net.head_hidden_size = net.num_features
    if config.layer is not None:
        net.prune_intermediate_layers([config.layer], prune_norm=True, prune_head=True)
    return backbone
