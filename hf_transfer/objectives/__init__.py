"""What is minimised."""

from .base import WeightedSum
from .bss import BSS
from .co_tuning import CoTuning
from .delta import DELTA
from .distillation import Distillation
from .l2_sp import L2SP
from .supervised import Supervised

__all__ = ["BSS", "CoTuning", "DELTA", "Distillation", "L2SP", "Supervised", "WeightedSum"]
