"""Backbone + head -> model, whatever the backbone reads."""

from torch import nn

from ..backbones.fused import told_of
from ..backbones.trust import is_foreign
from ..heads import NoHead
from .fused import fused_model
from .images import image_model
from .texts import text_model


def build_model(backbone, head, labels, processor, trust_remote_code: bool = False) -> nn.Module:
    """Build the model that is trained, saved and pushed.

    Args:
        backbone (`TextBackbone`, `ImageBackbone` or `FusedBackbone`): its checkpoint's weights are loaded; of a model
            that a run of ours left behind, those of its encoder.
        head (`NativeHead`, `LinearHead`, `MLPHead`, `LSTMHead`, `GRUHead` or `AttentionHead`): new, except that a
            `NativeHead` whose checkpoint was trained on exactly these class names is kept.
        labels (`Labels`): class names and problem type, written into the configuration.
        processor: the tokenizer (its length sizes the embeddings) or the image processor; of a fused backbone a `dict`
            of those of its parts.

    Returns:
        `PreTrainedModel` in float32, in training mode.

    Raises:
        `UserError`: the checkpoint cannot be reached, is of the other modality, or is incomplete.
    """
    names = dict(
        id2label=dict(enumerate(labels.names)),
        label2id={name: number for number, name in enumerate(labels.names)},
        num_labels=len(labels.names),
        problem_type=labels.problem_type,
    )
    if hasattr(backbone, "parts"):
        return _fused_model(backbone, head, names, processor, trust_remote_code).float().train()
    return _single_model(backbone, head, names, processor, trust_remote_code).float().train()


def _single_model(backbone, head, names, processor, trust_remote_code) -> nn.Module:
    config = backbone.load_config(trust_remote_code)
    build = image_model if backbone.modality == "image" else text_model
    model = build(backbone, head, config, names, processor, trust_remote_code)
    if not is_foreign(model):
        for one in (model.config, getattr(model.config, "backbone_config", None)):
            if getattr(one, "auto_map", None):
                del one.auto_map  # of the checkpoint: it names code that was not used, and others might run it
    return model


def _fused_model(backbone, head, names, processors, trust_remote_code) -> nn.Module:
    """Build each part as a model of its own that ends in its pooled features, and join them."""
    parts = {}
    for name, part in backbone.parts.items():
        with told_of(name):
            parts[name] = _single_model(part, NoHead(), {}, processors[name], trust_remote_code)
    return fused_model(backbone, head, names, parts)
