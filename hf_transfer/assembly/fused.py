"""Several backbones under one head."""

from collections.abc import Mapping

from torch import nn

from .configuring import head_arguments


def fused_model(backbone, head, names: dict, parts: Mapping[str, nn.Module]) -> nn.Module:
    """Join models that end in their pooled features.

    Args:
        backbone (`FusedBackbone`): how they are joined.
        head: reads what comes of it.
        names (`dict`): of the classes, as config.json holds them.
        parts (`Mapping[str, nn.Module]`): by name.
    """
    from ..hub import TransferForFusedClassification, TransferFusedConfig

    widths = {part.feature_width() for part in parts.values()}
    width = backbone.width
    if backbone.fusion == "weighted" and width is None and len(widths) > 1:
        width = min(widths)
    config = TransferFusedConfig(
        parts={name: part.config for name, part in parts.items()},
        head=head_arguments(head),
        fusion=backbone.fusion,
        alpha=backbone.alpha,
        width=width,
        **names,
    )
    return TransferForFusedClassification(config, parts=parts)
