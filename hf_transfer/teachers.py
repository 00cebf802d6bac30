"""A finished classification model as a teacher: one that knows the same classes and reads the same inputs."""

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from .backbones.config import load_config
from .errors import UserError
from .saved import load_saved_model


class Teacher(nn.Module):
    """Gives a model's logits in another order of its classes, and hands it pixels at the scale that it knows.

    Args:
        model (`nn.Module`): the classifier.
        order (`Sequence[int]`): which of its outputs comes first, second, ...
        scale (`tuple[torch.Tensor, torch.Tensor]`, *optional*): pixels are multiplied by the first and moved by the
            second, both of shape `(channels, 1, 1)`.
    """

    def __init__(self, model: nn.Module, order, scale=None):
        super().__init__()
        self.model, self.order = model, list(order)
        factor, shift = scale or (None, None)
        self.register_buffer("factor", factor)
        self.register_buffer("shift", shift)

    def forward(self, **inputs):
        if self.factor is not None:
            inputs["pixel_values"] = inputs["pixel_values"] * self.factor + self.shift
        return SequenceClassifierOutput(logits=self.model(**inputs).logits[:, self.order])


def load_teacher(checkpoint: str, backbone, processor, labels) -> Teacher:
    """Load the teacher of a model in training.

    Args:
        checkpoint (`str`): folder or Hub id of a classification model, one of ours or a stock one.
        backbone (`TextBackbone` or `ImageBackbone`), processor: what makes the inputs that both will read.
        labels (`Labels`): the classes, in the order that the logits are wanted in.

    Raises:
        `UserError`: there is no such model, it knows other classes or solves another kind of task, or it reads texts
            by another vocabulary or images of another size.
    """
    config = load_config(checkpoint, None)
    if config.model_type == "transfer_fused":
        raise UserError(f"teacher {checkpoint!r} is a fused model, whose inputs a single network does not read")
    order = _order(checkpoint, config, labels)
    settle = _settle_pictures if backbone.modality == "image" else _settle_texts
    scale = settle(checkpoint, config, backbone, processor)
    return Teacher(load_saved_model(checkpoint, backbone.modality), order, scale)


def _order(checkpoint: str, config, labels) -> list[int]:
    kind = config.problem_type or "single_label_classification"
    if kind != labels.problem_type:
        raise UserError(f"teacher {checkpoint!r} was trained for {kind}, and this task is {labels.problem_type}")
    known = {name: int(number) for number, name in config.id2label.items()}
    new = [name for name in labels.names if name not in known]
    more = [name for name in known if name not in labels.names]
    if new or more:
        what = f"does not know the label {new[0]!r}" if new else f"knows a label that no row has, {more[0]!r}"
        names = ", ".join(list(known)[:12]) + (", ..." if len(known) > 12 else "")
        raise UserError(f"teacher {checkpoint!r} {what} (it knows {names}); a teacher must know the very same labels")
    return [known[name] for name in labels.names]


def _settle_texts(checkpoint: str, config, backbone, tokenizer) -> None:
    """Both read the same token ids, so these must mean the same, and the teacher must have room for all of them."""
    from transformers import AutoTokenizer

    from .backbones.checkpoint import reach

    with reach(checkpoint, "a tokenizer"):
        own = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False)
    if own.get_vocab() != tokenizer.get_vocab():
        raise UserError(
            f"teacher {checkpoint!r} has another vocabulary than {backbone.checkpoint!r}, and both read the same "
            "token ids; take a teacher that was trained from an encoder of the same family"
        )
    encoder = getattr(config, "backbone_config", None) or config
    places = getattr(encoder, "max_position_embeddings", None) or 0
    places -= (encoder.pad_token_id or 0) + 1 if "roberta" in encoder.model_type else 0
    if 0 < places < backbone.max_length:
        raise UserError(f"teacher {checkpoint!r} reads at most {places} tokens; backbone.max_length is larger")


def _settle_pictures(checkpoint: str, config, backbone, processor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Both read the same pixels: of one size and one number of channels. Return how their scales differ, if at all."""
    from transformers import TimmWrapperImageProcessor

    settings = getattr(config, "pretrained_cfg", None)
    if not settings:
        raise UserError(f"teacher {checkpoint!r} is a {config.model_type!r} model, not a timm image net")
    architecture = getattr(config, "architecture", None) or config.backbone_config.architecture
    own = TimmWrapperImageProcessor(pretrained_cfg=settings, architecture=architecture).data_config
    here, there = tuple(processor.data_config["input_size"]), tuple(own["input_size"])
    if here != there:
        hint = "; set backbone.image_size" if here[0] == there[0] else ""
        raise UserError(f"teacher {checkpoint!r} reads images of size {there}, this model of size {here}{hint}")
    scales = [processor.data_config[name] for name in ("mean", "std")] + [own[name] for name in ("mean", "std")]
    mean, std, own_mean, own_std = (torch.tensor(one).reshape(-1, 1, 1) for one in scales)
    if torch.equal(mean, own_mean) and torch.equal(std, own_std):
        return None
    return std / own_std, (mean - own_mean) / own_std
