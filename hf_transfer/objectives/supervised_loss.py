"""The module behind [`Supervised`]: a sum over rows and the weight of these rows, so that any grouping is exact."""

import torch
from torch import nn
from torch.nn import functional as F


class SupervisedLoss(nn.Module):
    """Loss summed over rows.

    A step's loss is this sum over all its micro-batches and ranks, divided by the summed row weights: the same
    number however the rows are grouped. The unit is the row: several labels, or several targets, of one row are
    averaged first. A row weighs 1, or its class's weight.

    Args:
        problem_type (`str`): `single_label_classification`, `multi_label_classification` or `regression`.
        class_weights (`Sequence[float]`, *optional*): by class id, for `single_label_classification`.
        label_smoothing (`float`): share of the target spread evenly over the classes.
        focal_gamma (`float`): exponent of the focal loss (Lin et al. 2017); 0 for none.
    """

    def __init__(self, problem_type: str, class_weights=None, label_smoothing: float = 0.0, focal_gamma: float = 0.0):
        super().__init__()
        self.problem_type = problem_type
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights)

    def row_weights(self, labels: torch.Tensor) -> torch.Tensor:
        """Return each row's weight, of shape `(batch,)`."""
        if self.class_weights is None:
            return torch.ones(len(labels), device=labels.device)
        return self.class_weights.to(labels.device)[labels]

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return the weighted sum over rows, a scalar; see [`rows`]."""
        return self.rows(logits, labels, weights).sum()

    def rows(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return each row's loss times its weight, of shape `(batch,)`.

        Args:
            logits (`torch.Tensor` of shape `(batch, num_labels)`).
            labels (`torch.Tensor`): class ids `(batch,)`, -100 for a row without one, 0/1 `(batch, num_labels)`, or
                targets `(batch,)`.
            weights (`torch.Tensor` of shape `(batch,)`, *optional*): of the rows; by default [`row_weights`].
        """
        logits = logits.float()
        if self.problem_type == "regression":
            rows = (logits.squeeze(-1) - labels.float().squeeze(-1)) ** 2
        elif self.problem_type == "multi_label_classification":
            targets = labels.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
            rows = self._focal(F.binary_cross_entropy_with_logits(logits, targets, reduction="none")).mean(-1)
        else:
            rows = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
            rows = self._focal(rows)
        return rows * (self.row_weights(labels) if weights is None else weights)

    def _focal(self, losses: torch.Tensor) -> torch.Tensor:
        """Scale cross-entropies by (1 - p) ** gamma, where p = exp(-loss) is what the truth was given."""
        return losses * (-torch.expm1(-losses)) ** self.focal_gamma if self.focal_gamma else losses
