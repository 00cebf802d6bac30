"""Rows without labels, to pretrain on: two immutable values, `RawText` and `RawImages`; nothing is opened here."""

from dataclasses import dataclass

from ..errors import UserError
from .spec import Dataset, _check_bool, _check_column, _is_source, _wrong, check_reading


@dataclass(frozen=True)
class RawText:
    """Texts alone. Rows without text and exact duplicates are dropped and counted.

    Args:
        train (`str` or `datasets.Dataset`): a .txt file with one text per line, a .csv, .tsv, .jsonl, .json or .parquet file, or a Hub id as `name` or `name:config`.
        validation (`str`, `float` or `datasets.Dataset`): a file, a Hub id, a split name of train's Hub data set, or the fraction to cut from train; none takes the data set's own split, else cuts 0.05.
        text (`str`): column with the text; none finds a column named text, sentence, content, review or body.
        train_split (`str`): which split of a Hub data set is trained on.
        join (`bool`): lay short texts end to end, in pieces of max_length tokens; without it each is a piece of its own, as fine-tuning will see it.
        split_seed (`int`): seed of the cut and of the validation rows' masks, apart from the training seed.
        sep (`str`): separator of a table file; none is a comma for .csv and a tab for .tsv.
        header (`bool`): the first line of a .csv or .tsv file names the columns; without it they are named 0, 1, 2 and so on.
        encoding (`str`): text encoding of a .txt, .csv, .tsv, .jsonl or .json file.

    Raises:
        `UserError`: a field has a value that is not allowed.
    """  # noqa: E501 - each line is one flag's help

    train: str | Dataset
    validation: str | float | Dataset | None = None
    text: str | None = None
    train_split: str = "train"
    join: bool = False
    split_seed: int = 0
    sep: str | None = None
    header: bool = True
    encoding: str = "utf-8"

    def __post_init__(self):
        _check_raw(self)
        _check_column(self, "text")
        _check_bool(self, "join")


@dataclass(frozen=True)
class RawImages:
    """Images alone. Copies of the same file are dropped and counted; class folders are allowed and mean nothing.

    Args:
        train (`str` or `datasets.Dataset`): a folder that is searched to any depth, a table file with a column of image paths, or a Hub id as `name` or `name:config`.
        validation (`str`, `float` or `datasets.Dataset`): a folder, a file, a Hub id, a split name of train's Hub data set, or the fraction to cut from train; none takes the data set's own split, else cuts 0.05.
        image (`str`): column with the image or its path; none finds a column named image or img.
        train_split (`str`): which split of a Hub data set is trained on.
        split_seed (`int`): seed of the cut and of the validation rows' views, apart from the training seed.
        sep (`str`): separator of a table file; none is a comma for .csv and a tab for .tsv.
        header (`bool`): the first line of a .csv or .tsv file names the columns; without it they are named 0, 1, 2 and so on.
        encoding (`str`): text encoding of a .csv, .tsv, .jsonl or .json file.
        drop_broken (`bool`): drop and count files that are no image, or a damaged one, instead of stopping at them.

    Raises:
        `UserError`: a field has a value that is not allowed.
    """  # noqa: E501 - each line is one flag's help

    train: str | Dataset
    validation: str | float | Dataset | None = None
    image: str | None = None
    train_split: str = "train"
    split_seed: int = 0
    sep: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    drop_broken: bool = False

    def __post_init__(self):
        _check_raw(self)
        _check_column(self, "image")
        _check_bool(self, "drop_broken")


def _check_raw(spec) -> None:
    if not _is_source(spec.train):
        raise _wrong(spec, "train", "a file, a folder, a Hub id or a datasets.Dataset")
    value = spec.validation
    is_fraction = isinstance(value, float) and 0.0 < value < 1.0
    if not (value is None or is_fraction or _is_source(value)):
        raise _wrong(spec, "validation", "a file, a split name, a Hub id, a fraction above 0 and below 1, or none")
    if isinstance(value, str) and value == spec.train:
        raise UserError(f"data.train and data.validation are the same rows ({value}); leave data.validation out")
    check_reading(spec)
