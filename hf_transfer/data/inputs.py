"""New rows for a trained model: with labels to evaluate it on, or without to predict."""

from dataclasses import replace
from pathlib import Path

import datasets
import pandas as pd

from ..errors import UserError
from .cells import labelled_rows
from .columns import find_columns, find_inputs
from .folders import files_below
from .images import read_images
from .labels import Labels, encode
from .parts import labelled_dataset, read_part
from .sources import Source, open_table, open_value
from .tables import TABLE_SUFFIXES
from .text_images import read_text_images
from .texts import read_texts


def load_labelled(spec, source, labels: Labels, columns: dict) -> datasets.Dataset:
    """Labelled rows of one file, folder, Hub split or `datasets.Dataset`, with the label ids of a trained model.

    Args:
        spec (`TextClassification` or `ImageClassification`): the spec the model was trained with; says how to read.
        source (`str` or `datasets.Dataset`): where the rows are.
        labels (`Labels`): the model's; rows are matched to them by name.
        columns (`dict`): the columns to read, as in `Splits.columns`; a kind left out is found by its usual names.

    Returns:
        `datasets.Dataset`: columns as in `Splits.test`.

    Raises:
        `UserError`: as `load_data`, and a label the model does not know.
    """
    opened = open_value(source, spec, {}, "the given rows")
    if opened.classes is not None:  # a folder has no columns to choose from
        columns = {}
    inputs = [kind for kind in ("text", "text_pair", "image") if hasattr(spec, kind)]
    spec = replace(spec, **{kind: columns.get(kind) for kind in (*inputs, "label")})
    part = read_part(spec, opened, find_columns(spec, opened), progress=True)
    if not labelled_rows(part.cells, opened, part.rows):
        raise UserError(f"{opened.where}: {part.cells.column} has no labels (all missing or -1) to evaluate on")
    part.encoded = encode(labels, part.cells, opened, part.rows)
    return labelled_dataset(part, labels)


def read_inputs(
    path: str | Path,
    *,
    kind: str,
    columns: dict,
    sep: str | None = None,
    header: bool = True,
    encoding: str = "utf-8",
) -> tuple[pd.DataFrame, datasets.Dataset]:
    """Rows to predict; labels are not needed, and none is dropped, so that answers line up with the rows.

    Args:
        path (`str`): a table file; for images also one image, or a folder that is searched to any depth.
        kind (`str`): text, image, or text_image for a table with a column of each.
        columns (`dict`): the model's columns, as in `Splits.columns`; the label is ignored.

    Returns:
        `tuple[pandas.DataFrame, datasets.Dataset]`: the rows as they are (for a folder one column `file`, relative to
        it, sorted), and the same rows with `text` and maybe `text_pair`, or `image`.

    Raises:
        `UserError`: a missing or damaged file, an unknown column, rows without text.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    if kind == "image" and path.suffix.lower() not in TABLE_SUFFIXES:
        return _read_image_files(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; text comes from a file: {', '.join(TABLE_SUFFIXES)}")
    source = open_table(path, sep, header, encoding)
    found = find_inputs(kind, columns, source)
    if kind == "text":
        content = read_texts(source, found, drop_empty=False, hint="")
    elif kind == "text_image":
        content = read_text_images(source, found, drop_empty=False, drop_broken=False, hints=("", ""))
    else:
        content = read_images(source, found["image"], drop_broken=False, hint="")
    return source.rows.to_pandas(), content.rows


def _read_image_files(path: Path) -> tuple[pd.DataFrame, datasets.Dataset]:
    files = files_below(path) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: the folder holds no files")
    rows = datasets.Dataset.from_dict({"image": [str(file) for file in files]})
    source = Source(str(path), rows, ("path", path), classes=())
    content = read_images(source, "image", drop_broken=False, hint="")
    base = path if path.is_dir() else path.parent
    return pd.DataFrame({"file": [file.relative_to(base).as_posix() for file in files]}), content.rows
