"""Pretrained networks: how to load one, feed it, and take features from it."""

from .image import ImageBackbone
from .text import TextBackbone

__all__ = ["ImageBackbone", "TextBackbone"]
