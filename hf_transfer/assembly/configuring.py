"""What config.json says of a model, whatever its backbone reads, and the head that is built by it."""

from dataclasses import asdict

from torch import nn

from ..errors import UserError
from ..heads import AttentionHead, GRUHead, LinearHead, LSTMHead, MLPHead, NoHead

KINDS = {
    LinearHead: "linear",
    MLPHead: "mlp",
    LSTMHead: "lstm",
    GRUHead: "gru",
    AttentionHead: "attention",
    NoHead: "none",
}


def head_arguments(head) -> dict:
    """What config.json says of a head: its kind and what builds its module; how it was trained is no part of it."""
    fields = {k: v for k, v in asdict(head).items() if k not in getattr(head, "training_only", ())}
    return {"kind": KINDS[type(head)], **{k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}}


def write_names(config, names: dict) -> None:
    """Write class names and problem type into a configuration."""
    config.num_labels = names["num_labels"]
    config.id2label, config.label2id = names["id2label"], names["label2id"]
    config.problem_type = names["problem_type"]
    if hasattr(config, "label_names"):  # timm's own field; it would win over id2label when the model is saved
        config.label_names = list(names["id2label"].values())


def with_head(cls, config, backbone) -> nn.Module:
    """Put a head on a backbone.

    Raises:
        `UserError`: the head does not fit the backbone's width.
    """
    try:
        return cls(config, backbone=backbone)
    except ValueError as error:
        if config.head["kind"] != "attention":
            raise
        raise UserError(f"AttentionHead.num_heads: {error}") from error


def last_layer(backbone, finished) -> int | None:
    """Where the backbone ends: where the recipe says, else where the finished model was cut."""
    return backbone.layer if backbone.layer is not None or finished is None else finished.layer
