"""A linear layer over features, fitted to classes."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from ..linear.fit import fit_linear
from ..objectives import Supervised

SINGLE = "single_label_classification"


@dataclass(frozen=True)
class Layer:
    """A linear layer on raw features.

    Args:
        weight (`np.ndarray` of shape `(classes, width)`), bias (`np.ndarray` of shape `(classes,)`): float32.
        l2 (`float`): the penalty it was fitted with; see [`fit_linear`].
    """

    weight: np.ndarray
    bias: np.ndarray
    l2: float

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Return logits of shape `(n, classes)` for features of shape `(n, width)`."""
        return np.asarray(rows, np.float32) @ self.weight.T + self.bias


def fit_layer(
    rows, labels, validation, validation_labels, classes: int, weights=None, validation_weights=None, l2=None
) -> Layer:
    """Fit by [`fit_linear`]: cross-entropy, L-BFGS, the penalty chosen on the validation rows unless it is given.

    Args:
        rows, validation (`np.ndarray` of shape `(n, width)`): features.
        labels, validation_labels (`np.ndarray` of shape `(n,)`): class ids below `classes`.
        weights, validation_weights (`np.ndarray` of shape `(n,)`, *optional*): how much each row counts.
    """
    layer = nn.utils.skip_init(nn.Linear, rows.shape[1], classes)
    found = fit_linear(
        layer, rows, labels, validation, validation_labels, Supervised().build(SINGLE), l2,
        train_weights=weights, validation_weights=validation_weights,
    )  # fmt: skip
    return Layer(layer.weight.detach().numpy(), layer.bias.detach().numpy(), found["l2"])
