"""Instance-based transfer: features of source and target in, one weight for each source row out."""

from .density_ratio import DensityRatio
from .kliep import KLIEP
from .kmm import KMM
from .tradaboost import TrAdaBoost
from .weights import Weights

__all__ = ["KLIEP", "KMM", "DensityRatio", "TrAdaBoost", "Weights"]
