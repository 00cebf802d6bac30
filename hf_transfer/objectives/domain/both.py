"""A batch's rows by domain."""

import torch

from ..terms import SOURCE, TARGET


def both(values: torch.Tensor, domains: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the source rows and the target rows of `values`, in float32."""
    values = values.float()
    return values[domains == SOURCE], values[domains == TARGET]
