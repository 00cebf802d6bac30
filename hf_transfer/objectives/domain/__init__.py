"""Feature-based transfer: terms that bring the features of source and target together.

They need rows of both domains in a batch; see `SourceTarget`.
"""

from .adversarial import CDAN, DANN
from .alignment import CORAL, MMD
from .unlabelled import MCC, EntropyMinimisation, PseudoLabels

__all__ = ["CDAN", "CORAL", "DANN", "MCC", "MMD", "EntropyMinimisation", "PseudoLabels"]
