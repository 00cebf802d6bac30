"""One source on its way through: content, labels, and the rows one split uses of it."""

from dataclasses import dataclass

import datasets
import numpy as np
import pyarrow as pa

from ..errors import UserError
from .cells import Cells, read_cells
from .content import Content
from .images import read_images
from .labels import Labels
from .sources import Source, as_dataset
from .spec import TextClassification, TextImageClassification
from .text_images import read_text_images
from .texts import read_texts


@dataclass
class Part:
    """A source, its content and labels, and which of its rows one split uses."""

    source: Source
    content: Content
    cells: Cells
    rows: np.ndarray
    encoded: np.ndarray | None = None  # of all rows of the source, once the labels are known

    @property
    def keys(self) -> list[bytes]:
        return [self.content.keys[i] for i in self.rows]

    @property
    def labels(self) -> np.ndarray:
        return self.encoded[self.rows]


def read_part(spec, source: Source, columns: dict, progress: bool) -> Part:
    """Content and labels of one source, without its empty or broken rows."""
    content = read_content(spec, source, columns, progress)
    cells = read_cells(source, columns["label"], spec.label_separator)
    for i in content.unusable:  # a class that only dropped rows have is no class
        cells.values[i] = None
    return Part(source, content, cells, usable_rows(content, source))


def read_content(spec, source: Source, columns: dict, progress: bool) -> Content:
    """What is learned from, of one source."""
    if isinstance(spec, TextClassification):
        return read_texts(source, columns, spec.drop_empty)
    if isinstance(spec, TextImageClassification):
        return read_text_images(source, columns, spec.drop_empty, spec.drop_broken, progress)
    return read_images(source, columns["image"], spec.drop_broken, progress)


def usable_rows(content: Content, source: Source) -> np.ndarray:
    """The rows that are neither empty nor broken."""
    rows = np.setdiff1d(np.arange(len(content.keys)), content.unusable)
    if not len(rows):
        raise UserError(f"{source.where}: no row is left")
    return rows


def labelled_dataset(part: Part, labels: Labels, **select) -> datasets.Dataset:
    """The rows of `part` with their encoded labels; content is shared with the source, not copied."""
    if labels.problem_type == "single_label_classification":
        feature, values = datasets.ClassLabel(names=list(labels.names)), pa.array(part.encoded)
    elif labels.problem_type == "regression":
        feature, values = datasets.Value("float32"), pa.array(part.encoded)
    else:
        feature, values = datasets.List(datasets.Value("float32")), pa.array(list(part.encoded))
    schema = datasets.Features({"label": feature}).arrow_schema
    label = as_dataset(pa.table([values.cast(schema.field("label").type)], schema=schema))
    return datasets.concatenate_datasets([part.content.rows, label], axis=1).select(part.rows, **select)
