"""Backbone + head -> model: a stock class where that is exact, ours where it must be. The only builder."""

from .build import build_model
from .origin import checkpoint_label_names, origin
from .texts import _check_hidden_states

__all__ = ["_check_hidden_states", "build_model", "checkpoint_label_names", "origin"]
