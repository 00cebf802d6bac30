"""Which parameters move, how fast, and from when."""

from .frozen import FrozenFeatures
from .full import FullFineTune

__all__ = ["FrozenFeatures", "FullFineTune"]
