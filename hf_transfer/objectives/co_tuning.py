"""Keep the pretrained classifier, and train it on what the new classes mean in terms of the old ones."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Objective
from .checks import not_negative


@dataclass(frozen=True)
class CoTuning(Objective):
    """Co-Tuning (You et al. 2020): strength times the cross-entropy of the source head against p(y_s | y_t) of each
    row's class.

    The checkpoint's own classifier is kept on the features that train, and learns with them; it is not saved.
    p(y_s | y_t) comes from what the untouched checkpoint says about the training rows, by the paper's direct way:
    its mean over the rows of a class. The paper calibrates these predictions on source rows first, which are not here.

    Args:
        strength (`float`): the paper's lambda, 2.3 in its experiments.
    """

    strength: float = 2.3

    def __post_init__(self):
        not_negative(self, "strength")

    def check(self, frozen: bool, problem_type: str) -> None:
        if problem_type != "single_label_classification":
            raise UserError(f"CoTuning matches classes with classes, and this task is {problem_type}")
        if frozen:
            raise UserError(
                "CoTuning trains features by the pretrained classifier too, and FrozenFeatures trains none; give it "
                "to a stage that trains the backbone"
            )

    def build(self, context):
        """Return the module that computes it; see [`CoTuningTerm`]."""
        from .co_tuning_term import CoTuningTerm

        return CoTuningTerm(context, self.strength)
