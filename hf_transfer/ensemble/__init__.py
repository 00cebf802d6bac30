"""Averages of finished runs' weights: WiSE-FT between two models, soups of several.

The average of weights is one model, as fast as any of its members; it is saved and measured like any other run.
"""

from .interpolation import ALPHAS, wise_ft
from .soups import METHODS, soup

__all__ = ["ALPHAS", "METHODS", "soup", "wise_ft"]
