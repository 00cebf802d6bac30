"""The features that a weighting reads, checked."""

from ..errors import UserError


def checked(source, target, dtype: str = "float64"):
    """Return both as arrays of numbers.

    Args:
        source (`np.ndarray` of shape `(n_source, width)`), target (`np.ndarray` of shape `(n_target, width)`).

    Raises:
        `UserError`: another shape, no rows, or a value that is not finite.
    """
    import numpy as np

    arrays = []
    for name, values in (("source", source), ("target", target)):
        values = np.asarray(values, dtype=dtype)
        if values.ndim != 2 or not len(values):
            raise UserError(
                f"{name} features have the shape {values.shape}; allowed: (rows, width) with a row or more"
            )
        if not np.isfinite(values).all():
            raise UserError(f"{name} features hold values that are not finite (NaN or infinity)")
        arrays.append(values)
    if arrays[0].shape[1] != arrays[1].shape[1]:
        widths = f"{arrays[0].shape[1]} and {arrays[1].shape[1]}"
        raise UserError(f"source and target features are {widths} wide; they must come from the same backbone")
    return arrays
