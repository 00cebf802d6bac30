"""Learn from what another model, or this one before training, says about each row."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Objective


@dataclass(frozen=True)
class Distillation(Objective):
    """Knowledge distillation (Hinton et al. 2015, section 2): T^2 * KL(teacher || student), both softened by T.
    Several labels are as many pairs of classes, averaged.

    Args:
        checkpoint (`str`, *optional*): the teacher: the folder of a finished run, or a folder or Hub id of a
            classification model; it must know the same classes, in any order, and read the same inputs. By default the
            model itself as it was before this training, which must then have a head that has learnt: from a stage
            before, or from the checkpoint.
        temperature (`float`): T.
    """

    checkpoint: str | None = None
    temperature: float = 2.0

    def __post_init__(self):
        if self.checkpoint is not None:
            object.__setattr__(self, "checkpoint", str(self.checkpoint))
        if isinstance(self.temperature, bool) or not 0 < self.temperature < float("inf"):
            raise UserError(f"Distillation.temperature is {self.temperature!r}; allowed: a number above 0")

    def check(self, frozen: bool, problem_type: str) -> None:
        if problem_type == "regression":
            raise UserError("Distillation compares probabilities of classes, and this task is a regression")
        if frozen:
            raise UserError(
                "Distillation shows each row to the teacher, and a frozen backbone is trained on recorded features; "
                "give it to a stage that trains the backbone"
            )

    def build(self, context):
        """Return the module that computes it; see [`DistillationTerm`]."""
        from .distillation_term import DistillationTerm

        return DistillationTerm(context, self.checkpoint, self.temperature)
