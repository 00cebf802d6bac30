"""Labels: read by name from any source, their kind found, and turned into ids, 0/1 vectors or numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from .cells import Cells, in_order
from .sources import Source

MOST_CLASSES = 50  # more distinct values than this are rather identifiers, free text or quantities


def labels_of(rows) -> np.ndarray:
    """Return the column `label` of a `datasets.Dataset`, of shape `(rows,)`, or `(rows, num_labels)` of several.

    Read in one piece: NumPy by itself would ask the column for row after row.
    """
    return np.asarray(rows.with_format(None)["label"][:])


@dataclass(frozen=True)
class Labels:
    """What a model's outputs mean.

    Args:
        problem_type (`str`): single_label_classification, multi_label_classification or regression.
        names (`tuple[str, ...]`): class names by id; for regression one entry, the name of the column.
        class_weights (`tuple[float, ...]`): by id, rows / (classes * rows of the class), or none.
    """

    problem_type: str
    names: tuple[str, ...]
    class_weights: tuple[float, ...] | None = None

    @property
    def num_labels(self) -> int:
        return len(self.names)

    @property
    def id2label(self) -> dict[int, str]:
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}


def find_problem_type(spec, cells: Cells, source: Source) -> str:
    """The kind of the task: as the spec says where the labels allow it, else found from them."""
    asked = spec.problem_type
    if cells.kind == "several":
        if asked not in (None, "multi_label_classification"):
            raise UserError(
                f"{source.where}: {cells.column} holds several labels per row, which {asked} does not allow"
            )
        return "multi_label_classification"
    if asked == "multi_label_classification":
        raise UserError(
            f"{source.where}: {cells.column} holds one label per row; multi_label_classification needs a list column, "
            "several 0/1 columns (--data.label a,b,c) or --data.label_separator"
        )
    if asked is not None:
        return asked
    if cells.kind == "floats":
        return "regression"
    distinct = len({value for value in cells.values if value is not None})
    if cells.declared is None and distinct > MOST_CLASSES:
        raise UserError(
            f"{source.where}: {cells.column} has {distinct} different {cells.kind}, more than {MOST_CLASSES}; say "
            "what they are with --data.problem_type single_label_classification or regression"
        )
    return "single_label_classification"


def name_classes(
    problem_type: str, cells: Cells, source: Source, label_order: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Class names by id: as the source declares them, else sorted; in `label_order` if that has the same names."""
    if problem_type == "regression":
        return (cells.column_name,)
    seen = set()
    for value in cells.values:
        if value is not None:
            seen.update(value if isinstance(value, list) else (value,))
    names = cells.declared or in_order(seen)
    if problem_type == "single_label_classification" and len(seen) < 2:
        raise UserError(
            f"{source.where}: {cells.column} holds a single class, {next(iter(seen))!r}; at least 2 needed"
        )
    if not names:
        raise UserError(f"{source.where}: {cells.column} holds no label at all")
    # the order of a trained checkpoint wins: its outputs keep their meaning (transformers#10401)
    if label_order is not None and len(set(label_order)) == len(label_order) and set(label_order) == set(names):
        return tuple(label_order)
    return names


def encode(labels: Labels, cells: Cells, source: Source, rows: Sequence[int]) -> np.ndarray:
    """The labels of a source: int64 ids of shape `(n,)`, float32 0/1 of shape `(n, classes)` or float32 `(n,)`.

    All `n` rows of the source have a place, so that positions stay those of the source; only `rows` are filled in.

    Raises:
        `UserError`: a label the model does not know, or for regression not a number.
    """
    several = labels.problem_type == "multi_label_classification"
    if several != (cells.kind == "several"):
        raise UserError(f"{source.where}: {cells.column} holds {cells.described}, not right for {labels.problem_type}")
    total = len(cells.values)
    if labels.problem_type == "regression":
        encoded = np.zeros(total, np.float32)
        for i in rows:
            encoded[i] = _number(cells, source, i)
        return encoded
    ids = labels.label2id
    encoded = np.zeros((total, len(ids)), np.float32) if several else np.zeros(total, np.int64)
    for i in rows:
        value = cells.values[i]
        try:
            if several:
                encoded[i, [ids[name] for name in value]] = 1.0
            else:
                encoded[i] = ids[value]
        except KeyError as error:
            raise UserError(
                f"{source.where}: {source.row(i)}: label {error.args[0]!r} is not among the labels trained on: "
                f"{_shortened(labels.names)}"
            ) from error
    return encoded


def balanced_weights(ids: np.ndarray, num_labels: int) -> tuple[float, ...]:
    """n / (k * n_c) with k the classes that occur (scikit-learn's "balanced"); 1 for a declared class without rows."""
    counts = np.bincount(ids, minlength=num_labels)
    present = int((counts > 0).sum())
    return tuple(float(len(ids) / (present * n)) if n else 1.0 for n in counts)


def describe(labels: Labels, cells: Cells, asked: bool) -> str:
    """A line for people: what the labels were taken for, and why."""
    why = "as asked" if asked else f"{cells.column} holds {cells.described}"
    if labels.problem_type == "regression":
        return f"labels: regression on {cells.column} ({why})"
    return f"labels: {labels.problem_type} with {labels.num_labels} classes, {_shortened(labels.names)} ({why})"


def _number(cells: Cells, source: Source, i: int) -> float:
    try:
        value = float(cells.values[i])
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(
            f"{source.where}: {source.row(i)}: {cells.column} is {cells.values[i]!r}, regression needs a finite number"
        )
    return value


def _shortened(names: Sequence[str], limit: int = 12) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
