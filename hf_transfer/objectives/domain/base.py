"""What all terms between domains have in common."""

from ...errors import UserError
from ..base import Objective


class DomainObjective(Objective):
    """Reads rows of both domains.

    Attributes:
        classes_only (`bool`): it reads probabilities of classes.
        moves_features (`bool`): it acts on what the last layer reads, not on what that layer says.
    """

    classes_only = False
    moves_features = False

    def check(self, frozen: bool, problem_type: str) -> None:
        """Refuse a task that the term is not made for.

        Raises:
            `UserError`: it reads probabilities of classes, and the task has none.
        """
        if self.classes_only and problem_type != "single_label_classification":
            raise UserError(
                f"objective {type(self).__name__} reads probabilities of classes, and this task is a {problem_type}"
            )
