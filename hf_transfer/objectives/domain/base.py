"""What all terms between domains have in common."""

from ...errors import UserError
from ..base import Objective


class DomainObjective(Objective):
    """Reads rows of both domains; for classes and numbers alike unless a term says otherwise."""

    classes_only = False

    def check(self, frozen: bool, problem_type: str) -> None:
        """Refuse a task that the term is not made for.

        Raises:
            `UserError`: it reads probabilities of classes, and the task has none.
        """
        if self.classes_only and problem_type != "single_label_classification":
            raise UserError(
                f"objective {type(self).__name__} reads probabilities of classes, and this task is a {problem_type}"
            )
