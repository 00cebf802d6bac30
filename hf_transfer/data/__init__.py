"""Labelled rows: where they come from, how they are split, what may leak.

The specs are plain values and loaded at once; everything that reads (and so imports datasets, pyarrow and pandas)
comes on first use.
"""

from importlib import import_module

from .mixture import TaskMixture
from .raw import RawImages, RawText
from .source_target import SourceTarget
from .spec import ImageClassification, TextClassification, TextImageClassification

__all__ = [
    "ImageClassification",
    "Labels",
    "RawImages",
    "RawText",
    "SourceTarget",
    "Splits",
    "TaskMixture",
    "TextClassification",
    "TextImageClassification",
    "labels_of",
    "load_data",
    "load_domains",
    "load_labelled",
    "load_raw",
    "read_inputs",
]

_WHERE = {
    "Labels": ".labels",
    "Splits": ".loading",
    "labels_of": ".labels",
    "load_data": ".loading",
    "load_domains": ".domains",
    "load_labelled": ".inputs",
    "load_raw": ".raw_loading",
    "read_inputs": ".inputs",
}


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name], __name__), name)
