"""Where labelled rows come from: immutable values, `TextClassification`, `ImageClassification` and both in one.

Nothing is opened here, and neither torch, pandas nor datasets is imported: naming, listing or explaining a recipe must
stay cheap. `hf_transfer.data.load_data` does the reading.
"""

import codecs
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..errors import UserError

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")


@runtime_checkable
class Dataset(Protocol):
    """What the specs need of a `datasets.Dataset`; a stand-in, so that this file does not import datasets."""

    @property
    def column_names(self): ...

    @property
    def features(self): ...

    def select(self, indices): ...


@dataclass(frozen=True)
class TextClassification:
    """Texts, or pairs of texts, with labels: classes, several labels per row, or a number.

    Args:
        train (`str` or `datasets.Dataset`): a .csv, .tsv, .jsonl, .json or .parquet file, or a Hub id as `name` or `name:config`.
        validation (`str`, `float` or `datasets.Dataset`): a file, a Hub id, a split name of train's Hub data set, or the fraction to cut from train; none takes the data set's own split, else cuts 0.1.
        test (`str`, `float` or `datasets.Dataset`): the same as validation; none takes the data set's own labelled split, else cuts 0.2.
        text (`str`): column with the text; none finds a column named text, sentence, content, review or body.
        text_pair (`str`): column with the second text of a pair.
        label (`str` or `tuple[str, ...]`): column with the label, or several 0/1 columns; none finds a column named label, labels, class, category, target or sentiment.
        problem_type (`str`): single_label_classification, multi_label_classification or regression; none finds it from the labels.
        label_separator (`str`): what stands between the labels of one cell; makes the task multi-label.
        class_weights (`str`): "balanced" weighs each class by rows / (classes * rows of the class) of the train split.
        train_split (`str`): which split of a Hub data set is trained on.
        train_per_class (`int`): train on so many rows of each class alone, drawn by split_seed; validation and test keep all theirs.
        split_seed (`int`): seed of the splits that are cut from train and of train_per_class, apart from the training seed.
        sep (`str`): separator of a table file; none is a comma for .csv and a tab for .tsv.
        header (`bool`): the first line of a .csv or .tsv file names the columns; without it they are named 0, 1, 2 and so on.
        encoding (`str`): text encoding of a .csv, .tsv, .jsonl or .json file.
        drop_empty (`bool`): drop and count rows without text instead of stopping at them.

    Raises:
        `UserError`: a field has a value that is not allowed.
    """  # noqa: E501 - each line is one flag's help

    train: str | Dataset
    validation: str | float | Dataset | None = None
    test: str | float | Dataset | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | tuple[str, ...] | None = None
    problem_type: str | None = None
    label_separator: str | None = None
    class_weights: str | None = None
    train_split: str = "train"
    train_per_class: int | None = None
    split_seed: int = 0
    sep: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    drop_empty: bool = False

    def __post_init__(self):
        _check_shared(self)
        _check_column(self, "text")
        _check_column(self, "text_pair")
        _check_bool(self, "drop_empty")
        if self.text is not None and self.text == self.text_pair:
            raise _wrong(self, "text_pair", "another column than data.text")


@dataclass(frozen=True)
class ImageClassification:
    """Images with labels: classes, several labels per image, or a number.

    Args:
        train (`str` or `datasets.Dataset`): a folder of class folders (`photos/<class>/*.jpg`), a folder holding train/ and optionally validation/ and test/, a table file with a column of image paths, or a Hub id as `name` or `name:config`.
        validation (`str`, `float` or `datasets.Dataset`): a folder, a file, a Hub id, a split name of train's Hub data set, or the fraction to cut from train; none takes the data set's own split, else cuts 0.1.
        test (`str`, `float` or `datasets.Dataset`): the same as validation; none takes the data set's own labelled split, else cuts 0.2.
        image (`str`): column with the image or its path; none finds a column named image or img.
        label (`str` or `tuple[str, ...]`): column with the label, or several 0/1 columns; none finds a column named label, labels, class, category, target or sentiment.
        problem_type (`str`): single_label_classification, multi_label_classification or regression; none finds it from the labels.
        label_separator (`str`): what stands between the labels of one cell; makes the task multi-label.
        class_weights (`str`): "balanced" weighs each class by rows / (classes * rows of the class) of the train split.
        train_split (`str`): which split of a Hub data set is trained on.
        train_per_class (`int`): train on so many rows of each class alone, drawn by split_seed; validation and test keep all theirs.
        split_seed (`int`): seed of the splits that are cut from train and of train_per_class, apart from the training seed.
        sep (`str`): separator of a table file; none is a comma for .csv and a tab for .tsv.
        header (`bool`): the first line of a .csv or .tsv file names the columns; without it they are named 0, 1, 2 and so on.
        encoding (`str`): text encoding of a .csv, .tsv, .jsonl or .json file.
        drop_broken (`bool`): drop and count files that are no image, or a damaged one, instead of stopping at them.

    Raises:
        `UserError`: a field has a value that is not allowed.
    """  # noqa: E501 - each line is one flag's help

    train: str | Dataset
    validation: str | float | Dataset | None = None
    test: str | float | Dataset | None = None
    image: str | None = None
    label: str | tuple[str, ...] | None = None
    problem_type: str | None = None
    label_separator: str | None = None
    class_weights: str | None = None
    train_split: str = "train"
    train_per_class: int | None = None
    split_seed: int = 0
    sep: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    drop_broken: bool = False

    def __post_init__(self):
        _check_shared(self)
        _check_column(self, "image")
        _check_bool(self, "drop_broken")


@dataclass(frozen=True)
class TextImageClassification:
    """Rows that have a text and an image each, with labels: classes, several labels per row, or a number.

    Args:
        train (`str` or `datasets.Dataset`): a .csv, .tsv, .jsonl, .json or .parquet file with a column of texts and one of image paths (relative to the file), or a Hub id as `name` or `name:config`.
        validation (`str`, `float` or `datasets.Dataset`): a file, a Hub id, a split name of train's Hub data set, or the fraction to cut from train; none takes the data set's own split, else cuts 0.1.
        test (`str`, `float` or `datasets.Dataset`): the same as validation; none takes the data set's own labelled split, else cuts 0.2.
        text (`str`): column with the text; none finds a column named text, sentence, content, review or body.
        image (`str`): column with the image or its path; none finds a column named image or img.
        label (`str` or `tuple[str, ...]`): column with the label, or several 0/1 columns; none finds a column named label, labels, class, category, target or sentiment.
        problem_type (`str`): single_label_classification, multi_label_classification or regression; none finds it from the labels.
        label_separator (`str`): what stands between the labels of one cell; makes the task multi-label.
        class_weights (`str`): "balanced" weighs each class by rows / (classes * rows of the class) of the train split.
        train_split (`str`): which split of a Hub data set is trained on.
        train_per_class (`int`): train on so many rows of each class alone, drawn by split_seed; validation and test keep all theirs.
        split_seed (`int`): seed of the splits that are cut from train and of train_per_class, apart from the training seed.
        sep (`str`): separator of a table file; none is a comma for .csv and a tab for .tsv.
        header (`bool`): the first line of a .csv or .tsv file names the columns; without it they are named 0, 1, 2 and so on.
        encoding (`str`): text encoding of a .csv, .tsv, .jsonl or .json file.
        drop_empty (`bool`): drop and count rows without text instead of stopping at them.
        drop_broken (`bool`): drop and count rows whose file is no image, or a damaged one, instead of stopping at them.

    Raises:
        `UserError`: a field has a value that is not allowed.
    """  # noqa: E501 - each line is one flag's help

    train: str | Dataset
    validation: str | float | Dataset | None = None
    test: str | float | Dataset | None = None
    text: str | None = None
    image: str | None = None
    label: str | tuple[str, ...] | None = None
    problem_type: str | None = None
    label_separator: str | None = None
    class_weights: str | None = None
    train_split: str = "train"
    train_per_class: int | None = None
    split_seed: int = 0
    sep: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    drop_empty: bool = False
    drop_broken: bool = False

    def __post_init__(self):
        _check_shared(self)
        for field in ("text", "image"):
            _check_column(self, field)
        for field in ("drop_empty", "drop_broken"):
            _check_bool(self, field)
        if self.text is not None and self.text == self.image:
            raise _wrong(self, "image", "another column than data.text")


def _wrong(spec, field: str, allowed: str) -> UserError:
    value = getattr(spec, field)
    return UserError(f"{type(spec).__name__}: data.{field} is {value!r}, allowed: {allowed}")


def _check_shared(spec) -> None:
    """Every field both specs have; lists from JSON become tuples, and `\\t` as typed in a shell becomes a tab."""
    if not _is_source(spec.train):
        raise _wrong(spec, "train", "a file, a folder, a Hub id or a datasets.Dataset")
    for field in ("validation", "test"):
        value = getattr(spec, field)
        is_fraction = isinstance(value, float) and 0.0 < value < 1.0
        if not (value is None or is_fraction or _is_source(value)):
            raise _wrong(spec, field, "a file, a split name, a Hub id, a fraction above 0 and below 1, or none")
        if isinstance(value, str) and value == spec.train:
            raise UserError(
                f"data.train and data.{field} are the same rows ({value}); leave data.{field} out to cut one"
            )
    if isinstance(spec.validation, str) and spec.validation == spec.test:
        raise UserError(f"data.validation and data.test are the same rows ({spec.test}); leave one out to cut it")
    if isinstance(spec.validation, float) and isinstance(spec.test, float) and spec.validation + spec.test >= 1.0:
        raise _wrong(
            spec, "validation", f"less than {1.0 - spec.test:g}, what data.test={spec.test:g} leaves of train"
        )
    _check_label(spec)
    _check_per_class(spec)
    check_reading(spec)


def check_reading(spec) -> None:
    """Fields that say how rows are read, labelled or not."""
    if not isinstance(spec.train_split, str) or not spec.train_split:
        raise _wrong(spec, "train_split", "a split name")
    if not isinstance(spec.split_seed, int) or isinstance(spec.split_seed, bool):
        raise _wrong(spec, "split_seed", "an integer")
    _check_bool(spec, "header")
    if spec.sep in ("\\t", "tab"):
        object.__setattr__(spec, "sep", "\t")
    if spec.sep is not None and not (isinstance(spec.sep, str) and len(spec.sep) == 1 and spec.sep not in '"\r\n'):
        raise _wrong(spec, "sep", "one character, for a tab \\t")
    try:
        codecs.lookup(spec.encoding)
    except (LookupError, TypeError, ValueError):
        raise _wrong(spec, "encoding", "a Python encoding name such as utf-8, cp1252 or gb18030") from None


def _check_label(spec) -> None:
    label = spec.label
    if isinstance(label, list | tuple):
        names = tuple(label)
        if not names or len(set(names)) != len(names) or not all(isinstance(n, str) and n for n in names):
            raise _wrong(spec, "label", "a column name, or several different ones")
        object.__setattr__(spec, "label", names[0] if len(names) == 1 else names)
    else:
        _check_column(spec, "label")
    if spec.problem_type not in (None, *PROBLEM_TYPES):
        raise _wrong(spec, "problem_type", ", ".join(PROBLEM_TYPES))
    several = isinstance(spec.label, tuple) or spec.label_separator is not None
    if several and spec.problem_type not in (None, "multi_label_classification"):
        raise _wrong(spec, "problem_type", "multi_label_classification, as there are several labels per row")
    if spec.label_separator is not None:
        if not isinstance(spec.label_separator, str) or not spec.label_separator:
            raise _wrong(spec, "label_separator", "the text between two labels of a cell")
        if isinstance(spec.label, tuple):
            raise _wrong(spec, "label_separator", "none, as data.label names several columns")
    if spec.class_weights not in (None, "balanced"):
        raise _wrong(spec, "class_weights", "balanced, or none")
    if spec.class_weights and (several or spec.problem_type not in (None, "single_label_classification")):
        raise _wrong(spec, "class_weights", "none, as only single_label_classification has class weights")


def _check_per_class(spec) -> None:
    count = spec.train_per_class
    if count is None:
        return
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise _wrong(spec, "train_per_class", "a number of rows, 1 or more, or none")
    several = isinstance(spec.label, tuple) or spec.label_separator is not None
    if several or spec.problem_type not in (None, "single_label_classification"):
        raise _wrong(spec, "train_per_class", "none, as only single_label_classification has rows of one class")


def _check_column(spec, field: str) -> None:
    value = getattr(spec, field)
    if value is not None and not (isinstance(value, str) and value):
        raise _wrong(spec, field, "a column name")


def _check_bool(spec, field: str) -> None:
    if not isinstance(getattr(spec, field), bool):
        raise _wrong(spec, field, "true or false")


def _is_source(value) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, Dataset) and not isinstance(value, type)
