"""Changes to the model itself, for the time of a training: values in `strategy.transforms`."""

from .freeze_batch_norm import FreezeBatchNorm
from .reinit_top import ReinitTop
from .stoch_norm import StochNorm

__all__ = ["FreezeBatchNorm", "ReinitTop", "StochNorm"]
