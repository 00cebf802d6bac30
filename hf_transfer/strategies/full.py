"""Every parameter moves."""

from dataclasses import dataclass

from .base import BackboneTraining


@dataclass(frozen=True)
class FullFineTune(BackboneTraining):
    """Full fine-tuning: backbone and head are trained together."""
