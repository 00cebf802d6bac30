"""A linear head on recorded features is a convex problem: L-BFGS solves it, and gradient descent need not.

The solver is SciPy's L-BFGS-B (Liu and Nocedal 1989; Byrd et al. 1995) with float64 parameters around a loss and a
gradient that torch computes in float32 on the layer's device. Its line search (More and Thuente) meets the strong
Wolfe conditions and, unlike `torch.optim.LBFGS`, it says why it stopped; the parameters are so few that moving them
to the CPU costs nothing. There is no random number in it: the same rows give the same bits on the same machine.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from ..errors import UserError
from ..processes import computed_by_main
from ..threads import one_thread_where_small
from .rows import NOT_FINITE, Rows, Scale, measure_scale, split

# From strong to weak, half a decade apart. The penalty acts on scaled features, so one grid serves every backbone: at
# the strong end little but the class shares is left, at the weak end almost no penalty.
GRID = tuple(10.0 ** (exponent / 2) for exponent in range(4, -13, -1))
# The weakest penalties take the most iterations; once the validation loss has passed its minimum they are not tried.
PATIENCE = 3
MAX_ITERATIONS = 1000
# A fit ends when the largest entry of the gradient of the penalised mean loss is this small ...
FINISH = 5e-6
# ... or, while the grid only compares, this share of what it was at the solution for the stronger penalty before.
COMPARE = 0.05
# The rounding of float32 sums now and then ends a fit before `FINISH`. What ends below this, which is scikit-learn's
# own tolerance, has converged.
CONVERGED = 1e-4


def fit_linear(
    layer: nn.Linear,
    train,
    train_labels,
    validation,
    validation_labels,
    objective,
    l2: float | None = None,
    resident_bytes: int = 2 * 2**30,
    widths: Sequence[int] | None = None,
    train_weights=None,
    validation_weights=None,
) -> dict:
    """Fit a linear layer in place: minimise mean loss + `l2` / 2 * ||W||^2.

    W are the weights of the *scaled* features: each column minus its mean over the train rows, divided by its standard
    deviation or, if that is larger, by the root mean square of all columns' standard deviations. So the penalty does
    not depend on the backbone's scale, columns that vary much are brought to unit variance, and those that hardly vary
    (the units of a ReLU that fire once in a thousand rows, rounding in a constant column) are not blown up to it. The
    bias is not penalised. Features of several backbones side by side are scaled backbone by backbone (`widths`): one
    whose numbers are small is penalised like the other. The layer gets the weights of the raw features, which give the
    same logits.

    On scaled features scikit-learn's `LogisticRegression(C=1 / (l2 * rows))` has the same solution, and so has
    `Ridge(alpha=l2 * rows / 2)`.

    Args:
        layer (`nn.Linear`): of shape `(num_labels, width)`, with a bias; its device does the work. Its weights are
            not read: the fit starts at zero.
        train (`np.ndarray` or `torch.Tensor` of shape `(rows, width)`): float32 features; may be a memory map.
        train_labels (`np.ndarray` or `torch.Tensor`): as `objective` reads them, one per row.
        validation, validation_labels: likewise; what chooses `l2`, and what `validation_loss` is measured on.
        objective (`SupervisedLoss`): `forward(logits, labels)` is a weighted sum over rows, `row_weights(labels)` the
            weights; with weights of rows also `rows(logits, labels)`, what is summed there.
        l2 (`float`, *optional*): strength of the penalty; by default the value of `GRID` with the lowest validation
            loss, tried from strong to weak, each fit starting from the one before.
        resident_bytes (`int`): rows that take more than this are read anew, block by block, in every iteration; the
            result is the same to the last bit.
        widths (`Sequence[int]`, *optional*): how many columns each backbone has; by default all are of one.
        train_weights, validation_weights (`np.ndarray` of shape `(rows,)`, *optional*): how much each row counts, on
            top of the objective's own weights. Only their proportions matter: the mean is over what is counted. The
            scaling above is that of all train rows alike.

    Returns:
        `dict`: `fit` (`"lbfgs"`), `l2`, `iterations` (of all fits together), `converged`, `validation_loss` and
        `train_loss` (means over rows, without the penalty), and `grid`, a list of `[l2, validation_loss]`. When
        `converged` is false, `note` says in words where the fit stopped.

    Raises:
        `UserError`: no rows, features that are not finite, a layer without a bias, or weights that are no weights.
    """
    _check(layer, train, train_labels, "train")
    _check(layer, validation, validation_labels, "validation")
    weights = [
        _checked_weights(*one)
        for one in ((train_weights, len(train), "train"), (validation_weights, len(validation), "validation"))
    ]
    # MPS has no float64, which the sums are kept in; what it would win on so small a problem is little.
    device = torch.device("cpu") if layer.weight.device.type == "mps" else layer.weight.device
    with _exact_float32(device), one_thread_where_small(len(train) * layer.weight.numel()):
        scale = measure_scale(train, device, widths or [layer.in_features])
        unit, start = _target_scale(objective, train_labels)
        parts = ((train, train_labels), (validation, validation_labels))
        seen, unseen = (
            Rows(*part, objective, scale, device, resident_bytes, own)
            for part, own in zip(parts, weights, strict=True)
        )
        shape = (layer.out_features, layer.in_features)
        point = np.zeros(layer.out_features * (layer.in_features + 1))
        point[-layer.out_features :] = start

        grid, iterations, best = [], 0, None
        for strength in GRID if l2 is None else (l2,):
            point, taken, _ = _minimise(seen, point, shape, unit, strength, COMPARE if l2 is None else 0.0)
            iterations += taken
            grid.append([strength, unseen.mean_loss(point, shape, unit)])
            if not math.isfinite(grid[-1][1]):
                raise UserError(NOT_FINITE.format("validation"))
            if best is None or grid[-1][1] < grid[best][1]:
                best, chosen = len(grid) - 1, point
            if len(grid) - 1 - best == PATIENCE:
                break
        l2 = grid[best][0]
        point, taken, largest = _minimise(seen, chosen, shape, unit, l2)
        iterations += taken
        grid[best][1] = unseen.mean_loss(point, shape, unit)
        train_loss = seen.mean_loss(point, shape, unit)
    _write(layer, point, shape, unit, scale)
    outcome = {
        "fit": "lbfgs",
        "l2": l2,
        "iterations": iterations,
        "converged": largest <= CONVERGED,
        "validation_loss": grid[best][1],
        "train_loss": train_loss,
        "grid": grid,
    }
    if largest > CONVERGED:
        outcome["note"] = (
            f"the fit had not converged after {iterations} iterations: the largest entry of the gradient was "
            f"{largest:.1e}, not {CONVERGED:.0e}; a larger head.l2 converges sooner"
        )
    return outcome


def fit_on_main(state, layer: nn.Linear, fit: Callable[[], dict]) -> dict:
    """Fit on the main process and give every other rank its weights and what it says.

    Args:
        state (`accelerate.PartialState`): who is here.
        layer (`nn.Linear`): the same layer on every rank; overwritten with the main process's.
        fit: fits `layer`; called on the main process alone.

    Returns:
        `dict`: what `fit` returned, on every rank.

    Raises:
        `UserError`: `fit` raised one; every rank raises it.
        `RuntimeError`: on the other ranks, when `fit` raised anything else, which the main process raises itself.
    """
    outcome = computed_by_main(state, fit, "the fit")
    if state.num_processes > 1:
        from accelerate.utils import broadcast

        broadcast([layer.weight.data, layer.bias.data])
    return outcome


def _check(layer, matrix, labels, split: str) -> None:
    if layer.bias is None:
        raise UserError(
            "the last layer of this checkpoint has no bias, which the lbfgs fit needs; set head.fit to sgd"
        )
    if len(matrix) == 0 or len(matrix) != len(labels):
        raise UserError(
            f"the {split} split has {len(matrix)} rows of features and {len(labels)} labels; "
            "the lbfgs fit needs one label for each row, and at least one row"
        )


def _checked_weights(weights, rows: int, split: str) -> np.ndarray | None:
    if weights is None:
        return None
    weights = np.asarray(weights, dtype=np.float32)
    if weights.shape != (rows,):
        raise UserError(
            f"the {split} split has {rows} rows and weights of the shape {weights.shape}; one for each row"
        )
    if not np.isfinite(weights).all() or weights.min() < 0 or not weights.max() > 0:
        raise UserError(f"the {split} split's weights must be finite numbers, none below 0 and one above it")
    return weights


@contextmanager
def _exact_float32(device):
    """No autocast and no TF32: rounding to ten bits would stall the line search long before the solution."""
    # transformers may turn TF32 on by itself, through these settings, which do not mix with torch's older function.
    settings = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "ieee"
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


def _target_scale(objective, labels) -> tuple[float, float]:
    """Return the unit of the logits and where the bias starts, in that unit.

    For classes 1 and 0; for regression the targets' standard deviation and mean, so that the solver's tolerances do
    not depend on what the targets are counted in.
    """
    if objective.problem_type != "regression":
        return 1.0, 0.0
    targets = np.asarray(labels, dtype=np.float64)
    unit = float(targets.std()) or 1.0
    return unit, float(targets.mean()) / unit


def _write(layer: nn.Linear, point: np.ndarray, shape: tuple[int, int], unit: float, scale: Scale) -> None:
    """Fold the scaling into the layer: on raw features, W / s and b - W m / s give the same logits."""
    weights, bias = (torch.from_numpy(part).to(scale.mean.device) * unit for part in split(point, shape))
    weights = weights / scale.divisor
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.copy_(bias - weights @ scale.mean)


def _minimise(part, point: np.ndarray, shape, unit: float, l2: float, share: float = 0.0):
    """Return the parameters, the iterations taken and the gradient's largest entry there.

    The fit ends at `FINISH`, or at this `share` of the largest entry at the start.
    """
    # Takes a tenth of a second to import, and a run that trains by gradient descent has no use for it.
    from scipy.optimize import minimize

    count = shape[0] * shape[1]

    def penalised(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = part.loss_and_gradient(parameters, shape, unit)
        weights = parameters[:count]
        gradient[:count] += l2 * weights
        return loss + l2 / 2 * float(weights @ weights), gradient

    tolerance = max(FINISH, share * float(np.abs(penalised(point)[1]).max()) if share else 0.0)
    # Without `ftol` the solver would go on for a change that float32 sums cannot tell from rounding.
    options = {"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "gtol": tolerance, "ftol": 1e-12, "maxcor": 20}
    found = minimize(penalised, point, jac=True, method="L-BFGS-B", options=options)
    return found.x, int(found.nit), float(np.abs(found.jac).max())
