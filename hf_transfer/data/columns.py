"""Which column holds what: named by the user, or found by its usual names."""

from collections.abc import Sequence

from ..errors import UserError
from .sources import Source
from .spec import TextClassification, TextImageClassification

TEXT_NAMES = ("text", "sentence", "content", "review", "body")
IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment")


def find_columns(spec, source: Source) -> dict[str, str | list[str]]:
    """The source columns of `spec` in `source`, such as `{"text": "body", "label": "stars"}`.

    Raises:
        `UserError`: a named column is not there, or none or several have a usual name.
    """
    label = find_label(spec.label, source)
    taken = label if isinstance(label, list) else [label]
    if isinstance(spec, TextClassification):
        text = _pick(source, "text", spec.text, TEXT_NAMES, [*taken, spec.text_pair])
        columns = {"text": text}
        if spec.text_pair is not None:
            columns["text_pair"] = _pick(source, "text_pair", spec.text_pair, (), [])
    else:
        columns = {"image": _pick(source, "image", spec.image, IMAGE_NAMES, taken)}
        if isinstance(spec, TextImageClassification):
            columns = {"text": _pick(source, "text", spec.text, TEXT_NAMES, [*taken, spec.image]), **columns}
    for kind, name in columns.items():
        if name in taken:
            raise UserError(f"data.{kind} and data.label are the same column {name!r} of {source.where}")
    return {**columns, "label": label}


def same_columns(columns: dict, source: Source) -> dict:
    """The columns found in train, in another source, which has to have them too."""
    if source.classes is not None:  # a folder's two columns have our names
        return {"image": "image", "label": "label"}
    for field, name in columns.items():
        for one in name if isinstance(name, list) else [name]:
            _pick(source, field, one, (), [])
    return columns


def find_inputs(kind: str, columns: dict, source: Source) -> dict[str, str]:
    """The same without a label, for prediction: `columns` of the trained model, its label columns ignored."""
    usual = {"text": TEXT_NAMES, "image": IMAGE_NAMES}
    found = {one: _pick(source, one, columns.get(one), usual[one], []) for one in kind.split("_")}
    if columns.get("text_pair") is not None:
        found["text_pair"] = _pick(source, "text_pair", columns["text_pair"], (), [])
    return found


def find_label(label: str | Sequence[str] | None, source: Source) -> str | list[str]:
    """The label column; a list for several 0/1 columns."""
    names = source.rows.column_names
    if isinstance(label, str) and label not in names and "," in label:
        several = [name.strip() for name in label.split(",")]  # as the command line hands over several columns
        if all(name in names for name in several):
            label = several
    if label is None or isinstance(label, str):
        return _pick(source, "label", label, LABEL_NAMES, [])
    return [_pick(source, "label", name, (), []) for name in label]


def _pick(source: Source, field: str, name: str | None, usual: Sequence[str], taken: Sequence[str | None]) -> str:
    names = source.rows.column_names
    if name is not None:
        if name in names:
            return name
        raise UserError(f"{source.where}: there is no column {name!r} (data.{field}); columns: {_listed(names)}")
    found = [column for column in names if column.strip().lower() in usual and column not in taken]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{source.where}: columns {_listed(found)} could each be the {field}; choose one with --data.{field}, "
            f"columns: {_listed(names)}"
        )
    raise UserError(
        f"{source.where}: no column is named like the {field}; choose one with --data.{field}, "
        f"columns: {_listed(names)}"
    )


def _listed(names: Sequence[str]) -> str:
    only = " (one column only: is --data.sep right?)" if len(names) == 1 else ""
    return ", ".join(names) + only
