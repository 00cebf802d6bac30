"""What a transfer model is made of: a backbone's own configuration, how its features are pooled, and a head."""

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig


class _TransferConfig(PreTrainedConfig):
    def __init__(
        self, backbone_config=None, head=None, pooling="mean", normalize=False, layer=None, fusion=None, **kwargs
    ):
        if isinstance(backbone_config, dict):
            backbone_config = AutoConfig.for_model(**backbone_config)
        self.backbone_config = backbone_config
        self.head = dict(head or {"kind": "linear"})
        self.pooling = pooling
        self.normalize = normalize
        self.layer = layer
        self.fusion = fusion
        super().__init__(**kwargs)


class TransferTextConfig(_TransferConfig):
    """Configuration of [`TransferForSequenceClassification`].

    Args:
        backbone_config (`PreTrainedConfig` or `dict`): the encoder's own configuration.
        head (`dict`): `kind`, a key of `heads_transfer.HEADS`, and that head's arguments.
        pooling (`str`): `"cls"`, `"mean"`, `"max"`, `"attention"`, or `"pooler"` for the encoder's own learned layer.
        normalize (`bool`): scale pooled vectors to length 1.
        layer (`int`, *optional*): the encoder was cut after this many blocks; recorded, since `backbone_config`
            already has that depth.
        fusion (`dict`, *optional*): `kind`, a key of `fusion_transfer.MIXES`, and `layers`, the hidden states that are
            mixed: 0 what goes into the first block, then what each block gives.
        embeddings_only (`bool`): the backbone is the checkpoint's input embedding matrix alone.
    """

    model_type = "transfer_text"

    def __init__(
        self,
        backbone_config=None,
        head=None,
        pooling="mean",
        normalize=False,
        layer=None,
        fusion=None,
        embeddings_only=False,
        **kwargs,
    ):
        self.embeddings_only = embeddings_only
        super().__init__(backbone_config, head, pooling, normalize, layer, fusion, **kwargs)


class TransferImageConfig(_TransferConfig):
    """Configuration of [`TransferForImageClassification`].

    Args:
        backbone_config (`PreTrainedConfig` or `dict`): a `TimmWrapperConfig`.
        head (`dict`): `kind`, a key of `heads_transfer.HEADS`, and that head's arguments.
        pooling (`str`): `"pooler"` for the net's own global pooling, else `"mean"`, `"max"` or `"attention"`.
        layer (`int`, *optional*): index of the stage whose feature map is read; the stages above it are cut off.
        fusion (`dict`, *optional*): `kind`, a key of `fusion_transfer.MIXES`, and `layers`, the blocks or stages that
            are mixed, counted from 0.
        pretrained_cfg (`dict`), architecture (`str`): kept at the top level, where timm's image processor looks.
    """

    model_type = "transfer_image"

    def __init__(
        self,
        backbone_config=None,
        head=None,
        pooling="pooler",
        normalize=False,
        layer=None,
        fusion=None,
        pretrained_cfg=None,
        architecture=None,
        **kwargs,
    ):
        self.pretrained_cfg = pretrained_cfg
        self.architecture = architecture
        self.image_processor_type = "TimmWrapperImageProcessor"
        kwargs.pop("image_processor_type", None)
        super().__init__(backbone_config, head, pooling, normalize, layer, fusion, **kwargs)
