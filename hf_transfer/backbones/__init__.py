"""Pretrained networks: how to load one, feed it, and take features from it."""

from .fused import FusedBackbone
from .image import ImageBackbone
from .layer_fusion import LayerFusion
from .text import TextBackbone

__all__ = ["FusedBackbone", "ImageBackbone", "LayerFusion", "TextBackbone"]
