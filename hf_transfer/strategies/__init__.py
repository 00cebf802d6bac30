"""Which parameters move, how fast, and from when."""

from .bitfit import BitFit
from .contrastive import Contrastive
from .frozen import FrozenFeatures
from .full import FullFineTune
from .gradual import GradualUnfreeze
from .lora import LoRA
from .partial import PartialFineTune

__all__ = ["BitFit", "Contrastive", "FrozenFeatures", "FullFineTune", "GradualUnfreeze", "LoRA", "PartialFineTune"]
