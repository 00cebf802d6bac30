"""The task's own loss on labelled rows."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Objective


@dataclass(frozen=True)
class Supervised(Objective):
    """Cross-entropy for classes, binary cross-entropy for several labels, squared error for regression.

    Args:
        focal_gamma (`float`): focal loss (Lin et al. 2017, equation 4 without alpha): each row's, or each label's,
            cross-entropy times (1 - p) ** gamma, p the probability given to what is true. 0 is plain cross-entropy;
            class weights are `data.class_weights`, label smoothing is `training.label_smoothing_factor`.
    """

    focal_gamma: float = 0.0

    def __post_init__(self):
        if not 0 <= self.focal_gamma < float("inf"):
            raise UserError(f"objective.focal_gamma is {self.focal_gamma}; allowed: 0 (plain cross-entropy) or more")

    def build(self, problem_type: str, class_weights=None, label_smoothing: float = 0.0):
        """Return the module that computes it; see [`SupervisedLoss`].

        Raises:
            `UserError`: a focal loss of a regression, or together with label smoothing.
        """
        from .supervised_loss import SupervisedLoss

        if self.focal_gamma and problem_type == "regression":
            raise UserError("objective.focal_gamma is for classes, and this task is a regression; leave it out")
        if self.focal_gamma and label_smoothing:
            raise UserError(
                "objective.focal_gamma and training.label_smoothing_factor pull in opposite directions; give one"
            )
        return SupervisedLoss(problem_type, class_weights, label_smoothing, self.focal_gamma)
