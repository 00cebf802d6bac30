"""What a fused model is made of: the configurations of two parts, how their features are joined, and a head."""

from transformers.configuration_utils import PreTrainedConfig

from .configuration_transfer import TransferImageConfig, TransferTextConfig

PARTS = {config.model_type: config for config in (TransferTextConfig, TransferImageConfig)}


class TransferFusedConfig(PreTrainedConfig):
    """Configuration of [`TransferForFusedClassification`].

    Args:
        parts (`dict`): by name the configuration of each part, a `TransferTextConfig` or `TransferImageConfig` (or a
            `dict` of one) whose head is of the kind `"none"`.
        order (`list[str]`, *optional*): names of the parts, the first one first; config.json sorts its keys, and the
            features of which part come first, or are weighed by alpha, must not depend on a name.
        head (`dict`): `kind`, a key of `heads_transfer.HEADS`, and that head's arguments.
        fusion (`str`): `"concat"` or `"weighted"`.
        alpha (`float`, *optional*): of `"weighted"`, the weight of the first part; `None` where it is learned.
        width (`int`, *optional*): of `"weighted"`, what each part is projected to; `None` without projections.
    """

    model_type = "transfer_fused"

    def __init__(self, parts=None, order=None, head=None, fusion="concat", alpha=0.5, width=None, **kwargs):
        parts = dict(parts or {})
        self.order = list(order or parts)
        self.parts = {name: _config(parts[name]) for name in self.order}
        self.head = dict(head or {"kind": "linear"})
        self.fusion = fusion
        self.alpha = alpha
        self.width = width
        super().__init__(**kwargs)

    def to_dict(self) -> dict:
        content = super().to_dict()
        content["parts"] = {name: part.to_dict() for name, part in self.parts.items()}
        return content


def _config(part):
    if not isinstance(part, dict):
        return part
    values = {key: value for key, value in part.items() if key != "model_type"}
    return PARTS[part["model_type"]](**values)
