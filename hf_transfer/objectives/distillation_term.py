"""The module behind [`Distillation`]."""

import copy

import torch
from torch.nn import functional as F

from ..errors import UserError
from .apart import Apart
from .terms import Context, Seen, Term


class DistillationTerm(Term):
    """T^2 * KL(teacher || student), summed over rows; see [`Distillation`].

    Args:
        context (`Context`): its `teacher` loads a checkpoint.
        checkpoint (`str`, *optional*): the teacher; `None` for a copy of the model.
        temperature (`float`): T.

    Raises:
        `UserError`: the model is to teach itself, and its head has learnt nothing.
    """

    name = "distillation"

    def __init__(self, context: Context, checkpoint: str | None, temperature: float):
        super().__init__()
        if checkpoint is None and not context.head_learnt:
            raise UserError(
                "Distillation() learns from the model as it was before, and its head is new; name a teacher "
                "(Distillation(checkpoint=...)), put Stage(FrozenFeatures()) first, or keep a checkpoint's own head"
            )
        teacher = copy.deepcopy(context.model) if checkpoint is None else context.teacher(checkpoint)
        self.teacher, self.temperature = Apart(teacher, context.precision), temperature
        self.problem_type = context.problem_type

    def forward(self, seen: Seen) -> torch.Tensor:
        said = self.teacher(seen.logits.device, **seen.inputs).logits
        several = self.problem_type == "multi_label_classification"
        rows = soft_divergence(seen.logits, said, self.temperature, several)
        return (rows * seen.weights).sum()


def soft_divergence(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float, several: bool = False
) -> torch.Tensor:
    """Return T^2 * KL(teacher || student) of each row.

    Args:
        student, teacher (`torch.Tensor` of shape `(batch, num_labels)`): logits.
        temperature (`float`): T.
        several (`bool`): each label is a choice of its own; their mean counts.
    """
    student, teacher = student.float() / temperature, teacher.float() / temperature
    if several:  # a label and its contrary are two classes with logits z and 0
        student, teacher = (torch.stack([one, torch.zeros_like(one)], -1) for one in (student, teacher))
    student, teacher = F.log_softmax(student, -1), F.log_softmax(teacher, -1)
    rows = (teacher.exp() * (teacher - student)).sum(-1)
    return temperature**2 * (rows.mean(-1) if several else rows)
