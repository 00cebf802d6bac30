"""The task's own loss on labelled rows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Supervised:
    """Cross-entropy for classes, binary cross-entropy for several labels, squared error for regression."""

    def build(self, problem_type: str, class_weights=None, label_smoothing: float = 0.0):
        """Return the module that computes it; see [`SupervisedLoss`]."""
        from .supervised_loss import SupervisedLoss

        return SupervisedLoss(problem_type, class_weights, label_smoothing)
