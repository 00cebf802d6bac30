"""Label cells as read from a source: every label by its name, whatever type it was stored in.

Names are the common language of files, Hub data sets and checkpoints; ids are given once, in `labels`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import datasets
import numpy as np

from ..errors import UserError
from .sources import Source

_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ON_OFF = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False}


@dataclass(frozen=True)
class Cells:
    """The labels of one source.

    Args:
        column_name (`str`): the column, or the columns joined by a comma.
        values (`list`): per row a name, a list of names (`several`), or `None` where there is no label.
        kind (`str`): "strings", "whole numbers", "floats", "booleans", "classes" or "several".
        declared (`tuple[str, ...]`): class names in the order the source declares them, if it does.
    """

    column_name: str
    values: list
    kind: str
    declared: tuple[str, ...] | None = None

    @property
    def column(self) -> str:
        return f"column {self.column_name!r}"

    @property
    def described(self) -> str:
        return {"several": "several labels per row", "classes": "named classes"}.get(self.kind, self.kind)


def read_cells(source: Source, label: str | list[str], separator: str | None) -> Cells:
    """Read the label column, or several 0/1 columns, of all rows of `source`."""
    if isinstance(label, list):
        return _read_columns(source, label)
    values = source.rows.select_columns([label]).with_format("arrow")[:][label].to_pylist()
    if separator is not None:
        return _split(source, label, values, separator)
    feature = source.rows.features[label]
    if source.classes is not None:
        return Cells(label, values, "classes", in_order(source.classes))
    if isinstance(feature, datasets.ClassLabel):
        names = feature.names
        named = [None if value is None or value < 0 else names[value] for value in values]
        return Cells(label, named, "classes", tuple(names))
    if isinstance(feature, datasets.List | datasets.LargeList) or _is_list(values):
        return _read_lists(source, label, values, feature)
    return _unlabelled_if_all_minus_one(_read_single(source, label, values))


def in_order(names: Collection[str]) -> tuple[str, ...]:
    """Whole numbers by value ("2" before "10"), anything else by code point: the same in every locale."""
    numbers = all(_WHOLE.fullmatch(name) for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if numbers else None))


def labelled_rows(cells: Cells, source: Source, rows: np.ndarray) -> bool:
    """Whether `rows` have labels: all do, or none does.

    Raises:
        `UserError`: some do and some do not.
    """
    missing = [i for i in rows if cells.values[i] is None]
    if missing and len(missing) < len(rows):
        raise UserError(
            f"{source.where}: {cells.column} has no label in {source.some_rows(missing)} ({len(missing)} of "
            f"{len(rows)} rows); every row needs one"
        )
    return not missing


def _read_single(source: Source, label: str, values: list) -> Cells:
    if source.strings:
        values = [value.strip() or None for value in values]
        distinct = {value for value in values if value is not None}
        if distinct and all(_WHOLE.fullmatch(value) for value in distinct):
            return Cells(label, values, "whole numbers")
        if distinct and all(_NUMBER.fullmatch(value) for value in distinct):
            return Cells(label, values, "floats")
        return Cells(label, values, "strings")
    present = {type(value) for value in values if value is not None}
    kinds = {bool: "booleans", int: "whole numbers", float: "floats", str: "strings"}
    if not present:
        return Cells(label, [None] * len(values), "strings")
    if len(present) > 1 or not present <= set(kinds):
        found = ", ".join(sorted(t.__name__ for t in present))
        raise UserError(
            f"{source.where}: column {label!r} (data.label) holds {found}, allowed: text, numbers, booleans or lists"
        )
    names = {value: _name(value) for value in set(values)}  # one string per distinct value, not per row
    return Cells(label, [names[value] for value in values], kinds[present.pop()])


def _name(value) -> str | None:
    if value is None or value == "" or value != value:  # NaN is how pandas writes a missing number
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _unlabelled_if_all_minus_one(cells: Cells) -> Cells:
    """-1 throughout is how hidden labels are published; -1 among others is a class like any."""
    found = {v for value in cells.values if value is not None for v in (value if isinstance(value, list) else [value])}
    if found and found <= {"-1", "-1.0"}:
        return Cells(cells.column_name, [None] * len(cells.values), cells.kind, cells.declared)
    return cells


def _split(source: Source, label: str, values: list, separator: str) -> Cells:
    """A blank cell means that no label applies, unless every cell is blank: then there are no labels."""
    if not all(value is None or isinstance(value, str) for value in values):
        raise UserError(f"{source.where}: column {label!r} is not text, so data.label_separator cannot split it")
    parts = [[part.strip() for part in (value or "").split(separator) if part.strip()] for value in values]
    if not any(parts):
        parts = [None] * len(parts)
    return _unlabelled_if_all_minus_one(Cells(label, parts, "several"))


def _read_columns(source: Source, columns: list[str]) -> Cells:
    table = source.rows.select_columns(columns).with_format("arrow")[:]
    rows = []
    stored = zip(*(table[name].to_pylist() for name in columns), strict=True)
    for i, row in enumerate(stored):
        names = [value.strip().lower() if isinstance(value, str) else _name(value) for value in row]
        if not all(names) or all(name in ("-1", "-1.0") for name in names):
            rows.append(None)
        else:
            rows.append([c for c, name in zip(columns, names, strict=True) if _is_on(source, i, c, name)])
    return Cells(", ".join(columns), rows, "several", tuple(columns))


def _is_on(source: Source, i: int, column: str, name: str) -> bool:
    if name not in _ON_OFF:
        raise UserError(f"{source.where}: {source.row(i)}: column {column!r} is {name!r}, allowed: 0 or 1")
    return _ON_OFF[name]


def _is_list(values: list) -> bool:
    return any(isinstance(value, list) for value in values)


def _read_lists(source: Source, label: str, values: list, feature) -> Cells:
    """A list of names or ids per row, or a vector of 0 and 1."""
    inner = getattr(feature, "feature", None)
    if isinstance(inner, datasets.ClassLabel):
        hidden = [value is None or any(v is None or v < 0 for v in value) for value in values]
        named = [None if h else [inner.names[v] for v in value] for value, h in zip(values, hidden, strict=True)]
        return Cells(label, named, "several", tuple(inner.names))
    present = [value for value in values if value is not None]
    if any(isinstance(v, list | dict) or v is None for value in present for v in value):
        raise UserError(f"{source.where}: column {label!r} holds {feature}, allowed: a list of names per row")
    width = _vector_width(present)
    if width:
        named = [None if value is None else [str(i) for i, v in enumerate(value) if v] for value in values]
        return Cells(label, named, "several", tuple(str(i) for i in range(width)))
    named = [None if value is None else [_name(v) for v in value] for value in values]
    return _unlabelled_if_all_minus_one(Cells(label, named, "several"))


def _vector_width(values: list[list]) -> int:
    """The length of 0/1 vectors, or 0 if the lists are lists of labels.

    Lists of class ids can also be all 0 and 1; but they do not name the same class twice, and are not floats.
    """
    widths = {len(value) for value in values}
    if len(widths) != 1 or max(widths) < 2 or any(v not in (0, 1) for value in values for v in value):
        return 0
    as_vector = any(isinstance(v, bool | float) for v in values[0]) or any(len(set(v)) < len(v) for v in values)
    return widths.pop() if as_vector else 0
