"""A pretrained backbone with a head of ours, as ordinary transformers models."""

import torch
from torch import nn
from transformers import AutoModel
from transformers.modeling_outputs import BaseModelOutput, ImageClassifierOutput, SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel

from .configuration_transfer import TransferImageConfig, TransferTextConfig
from .fusion_transfer import MIXES, StageMix, mix_and_pool, pool_first
from .heads_transfer import HEADS, Features, Pooling


class _TransferModel(PreTrainedModel):
    """Backbone, then fusion of its layers and pooling, then head; `backbone` may be handed in already loaded."""

    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True

    def __init__(self, config, backbone: nn.Module | None = None):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.backbone = self.build_backbone(config) if backbone is None else backbone
        width = self.feature_width()
        arguments = {key: value for key, value in config.head.items() if key != "kind"}
        self.head = HEADS[config.head["kind"]](width, config.num_labels, **arguments)
        self.pooling = Pooling(config.pooling, width, config.normalize) if self.pools_tokens() else None
        self.fusion = self.build_fusion()
        self.post_init()

    def pools_tokens(self) -> bool:
        """Whether the head's vectors are pooled from token states by us, not by the backbone itself."""
        return self.head.reads == "pooled" and self.config.pooling != "pooler"

    def build_fusion(self) -> nn.Module | None:
        """Build the mix of layers, where anything in it is learnt: a mean is taken while states are read."""
        fusion = self.config.fusion
        return MIXES[fusion["kind"]](len(fusion["layers"])) if fusion and fusion["kind"] != "mean" else None

    def together(self, states: list[torch.Tensor]) -> torch.Tensor:
        """Bring the states of the chosen layers, `(..., width)` each, to what a mix reads, or to their mean."""
        stacked = torch.stack(states, dim=-2)
        return stacked.mean(-2) if self.fusion is None else stacked

    def _init_weights(self, module):
        # Called for what a checkpoint does not bring. PyTorch's own defaults suit every head; the linear layers get
        # them explicitly because the base class would draw from a narrower normal distribution.
        if isinstance(module, nn.Linear | nn.RNNBase):
            module.reset_parameters()

    def encode(self, *inputs, **named) -> Features:
        """Run the backbone, mix its layers and pool: all that a head may read."""
        features = pool_first(self.read(*inputs, **named), self.pooling, self.fusion)
        return mix_and_pool(features, self.pooling, self.fusion)

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
        if self.config.fusion is not None:
            outputs = self.backbone(
                input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True, **extra
            )
            states = [outputs.hidden_states[layer] for layer in self.config.fusion["layers"]]
            return Features(self.together(states), attention_mask)
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
        if self.stage_widths is not None:
            return self.stage_widths[-1]
        if layer is not None and self.config.fusion is None:
            return net.feature_info[layer]["num_chs"]
        # Some nets widen the pooled vector after pooling (MobileNetV3's last convolution): tokens come before it.
        pooled = self.config.pooling == "pooler" and HEADS[self.config.head["kind"]].reads == "pooled"
        return net.head_hidden_size if pooled else net.num_features

    @property
    def stage_widths(self) -> list[int] | None:
        """Channels of the stages that are fused, of a net whose stages differ; `None` for any other model."""
        fusion, net = self.config.fusion, self.backbone.timm_model
        if fusion is None or blocks_alike(net):
            return None
        return [net.feature_info[layer]["num_chs"] for layer in fusion["layers"]]

    def pools_tokens(self) -> bool:
        return super().pools_tokens() and self.stage_widths is None

    def build_fusion(self) -> nn.Module | None:
        if self.stage_widths is None:
            return super().build_fusion()
        return StageMix(self.stage_widths, MIXES[self.config.fusion["kind"]](len(self.stage_widths)))

    def read(self, pixel_values) -> Features:
        """Run the backbone: positions of its feature map, a mask of ones, and its own global pooling."""
        if self.config.fusion is not None:
            return self.read_layers(pixel_values.to(self.dtype))
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

    def read_layers(self, pixels: torch.Tensor) -> Features:
        """Run the backbone and keep the chosen layers.

        Of a ViT, the states that each block gives, through the net's own final norm, as its last ones go; they are
        pooled by the net where it pools. Of a net whose stages differ, each stage's map, pooled over its positions;
        there are no states of one size that a head could read as tokens.
        """
        net, layers = self.backbone.timm_model, self.config.fusion["layers"]
        if self.stage_widths is not None:
            maps = net.forward_intermediates(pixels, indices=layers, stop_early=True, intermediates_only=True)
            flat = [one.flatten(2) for one in maps]
            pooled = [one.amax(2) if self.config.pooling == "max" else one.mean(2) for one in flat]
            return Features(pooled=torch.cat(pooled, dim=-1))
        extra = {"return_prefix_tokens": True} if net.num_prefix_tokens else {}
        found = net.forward_intermediates(
            pixels, indices=layers, norm=True, stop_early=True, output_fmt="NLC", intermediates_only=True, **extra
        )
        states = [torch.cat([one[1], one[0]], dim=1) if isinstance(one, tuple) else one for one in found]
        if self.head.reads == "pooled" and self.pooling is None:
            return Features(pooled=self.together([net.forward_head(one, pre_logits=True) for one in states]))
        tokens = self.together(states)
        return Features(tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.long))

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
    "without top" means its pooled convolutional features; with `layer` the stages above it go, and with `fusion` what
    follows the highest one that is read.
    """
    net = backbone.timm_model
    if isinstance(getattr(net, "pre_logits", None), nn.Module):
        net.pre_logits = nn.Identity()
        net.head_hidden_size = net.num_features
    if config.fusion is not None:
        alike = blocks_alike(net)  # their states go through the net's own norm and pooling
        net.prune_intermediate_layers(config.fusion["layers"], prune_norm=not alike, prune_head=not alike)
    elif config.layer is not None:
        net.prune_intermediate_layers([config.layer], prune_norm=True, prune_head=True)
    return backbone


def blocks_alike(net: nn.Module) -> bool:
    """Whether a timm net is a stack of blocks on tokens of one width, as a ViT is, and not a pyramid of stages."""
    shapes = {(one["num_chs"], one["reduction"]) for one in net.feature_info}
    return hasattr(net, "num_prefix_tokens") and len(shapes) == 1
