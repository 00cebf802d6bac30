"""What is minimised."""

from .supervised import Supervised

__all__ = ["Supervised"]
