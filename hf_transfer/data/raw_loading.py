"""From a [`RawText`] or [`RawImages`] to rows to pretrain on, and a few to measure on."""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from ..errors import UserError
from .columns import find_inputs
from .content import Content
from .delimited import with_mark, wrong_encoding
from .folders import files_below, split_folders
from .hub import load_hub, looks_like_hub_id
from .images import check_image, encoded_images, read_images
from .raw import RawText
from .sources import OWN_VALIDATION, Source, as_dataset, from_dataset, from_hub, is_on_disk, open_table
from .splits import cut
from .tables import TABLE_SUFFIXES
from .texts import content_key, read_texts

VALIDATION = 0.05  # cut from train where nothing else is said
LEAST = 8  # rows to train on; fewer are a mistake, and a batch of contrasts would be empty


@dataclass(frozen=True)
class RawSplits:
    """Rows without labels.

    Args:
        train, validation (`datasets.Dataset`): one column, `text` or `image`.
        columns (`dict[str, str]`): the source column it came from.
        fingerprint (`str`): hex digest of the content of both.
        dropped (`dict[str, int]`): rows left out and why: `empty` or `broken`; `duplicates`, all but one of equal
            rows; `leaked`, rows of train that also stand in validation; `held_out`, see [`load_raw`].
        notes (`tuple[str, ...]`): lines for people.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    columns: dict[str, str]
    fingerprint: str
    dropped: dict[str, int]
    notes: tuple[str, ...]


def load_raw(spec, *, held_out: Collection[bytes] = frozenset(), progress: bool = True) -> RawSplits:
    """Read what `spec` names, drop what is empty or there twice, and cut a validation part by content.

    Args:
        spec (`RawText` or `RawImages`): where the rows come from.
        held_out (`Collection[bytes]`): content keys of rows that must not be seen, as those of a later test split.
        progress (`bool`): show a bar while many images are checked.

    Raises:
        `UserError`: anything in the data that the user has to mend or decide.
    """
    is_text, held_out = isinstance(spec, RawText), set(held_out)
    kind, unusable = ("text", "empty") if is_text else ("image", "broken")
    sources = _open(spec)
    columns = _columns(spec, kind, sources["train"])
    dropped = {unusable: 0, "duplicates": 0, "leaked": 0, "held_out": 0}
    contents, rows = {}, {}
    for name, source in sources.items():
        content = contents[name] = _read(spec, source, {kind: columns[kind]}, progress)
        dropped[unusable] += len(content.unusable) + source.dropped
        rows[name] = _distinct(content, held_out, dropped)
    notes = []
    if "validation" in rows:
        seen = {contents["validation"].keys[i] for i in rows["validation"]}
        kept = np.array([i for i in rows["train"] if contents["train"].keys[i] not in seen], dtype=np.int64)
        dropped["leaked"] = len(rows["train"]) - len(kept)
        rows["train"] = kept
    else:
        fraction = spec.validation if isinstance(spec.validation, float) else VALIDATION
        _check_enough(sources["train"], rows["train"], 2)
        keys = [contents["train"].keys[i] for i in rows["train"]]
        parts = cut(keys, None, {"validation": fraction}, spec.split_seed, sources["train"].where)
        contents["validation"] = contents["train"]
        rows = {name: rows["train"][part] for name, part in parts.items()}
        notes.append(
            f"validation: {len(rows['validation'])} rows cut from train ({fraction:g}, by content, "
            f"seed {spec.split_seed})"
        )
    _check_enough(sources["train"], rows["train"], LEAST)
    _check_enough(sources.get("validation", sources["train"]), rows["validation"], 1)
    digest = blake2b(digest_size=16)
    for name in ("train", "validation"):
        digest.update(b"/" + name.encode() + b"".join(contents[name].keys[i] for i in rows[name]))
    ready = {
        name: contents[name].rows.select(rows[name], new_fingerprint=f"{digest.hexdigest()}{name}")
        for name in ("train", "validation")
    }
    return RawSplits(**ready, columns=columns, fingerprint=digest.hexdigest(), dropped=dropped, notes=tuple(notes))


def _distinct(content: Content, held_out: set[bytes], dropped: dict[str, int]) -> np.ndarray:
    """The rows to use: each content once, the first time it occurs."""
    unusable, seen, kept = set(content.unusable), set(), []
    for row, key in enumerate(content.keys):
        if row in unusable:
            continue
        if key in held_out:
            dropped["held_out"] += 1
        elif key in seen:
            dropped["duplicates"] += 1
        else:
            seen.add(key)
            kept.append(row)
    return np.array(kept, dtype=np.int64)


def _check_enough(source: Source, rows: np.ndarray, least: int) -> None:
    if len(rows) < least:
        raise UserError(f"{source.where}: {len(rows)} different rows are left, at least {least} are needed")


def _open(spec) -> dict[str, Source]:
    """Train, and validation where it is named or the data set has one of its own."""
    train, own = _open_train(spec)
    found, value = {"train": train}, spec.validation
    if isinstance(value, str) and value in own:
        found["validation"] = own[value]()
    elif isinstance(value, str):
        found["validation"] = _open_one(value, spec)
    elif value is None and any(name in own for name in OWN_VALIDATION):
        found["validation"] = own[next(name for name in OWN_VALIDATION if name in own)]()
    elif value is not None and not isinstance(value, float):
        found["validation"] = from_dataset(value, "data.validation")
    if "validation" in found and found["validation"].identity == train.identity:
        raise UserError(f"data.train and data.validation are the same rows ({train.where}); leave one out")
    return found


def _open_train(spec):
    """The rows to train on, and an opener for each other split of the same data set."""
    if not isinstance(spec.train, str):
        return from_dataset(spec.train, "data.train"), {}
    if is_on_disk(spec.train):
        path = Path(spec.train).expanduser()
        splits = split_folders(path) if path.is_dir() and not isinstance(spec, RawText) else {}
        own = {name: (lambda p=p: images_below(p)) for name, p in splits.items()}
        return (own.pop("train")() if own else _open_one(spec.train, spec)), own
    if not looks_like_hub_id(spec.train):
        raise UserError(f"{spec.train}: there is no such file or folder")
    splits = load_hub(spec.train)
    own = {name: (lambda name=name: from_hub(spec.train, splits, name)) for name in splits}
    return from_hub(spec.train, splits, spec.train_split), own


def _open_one(value: str, spec) -> Source:
    path, is_text = Path(value).expanduser(), isinstance(spec, RawText)
    if not is_on_disk(value) and looks_like_hub_id(value):
        splits = load_hub(value)
        return from_hub(value, splits, next((s for s in OWN_VALIDATION if s in splits), spec.train_split))
    if not path.exists():
        raise UserError(f"{value}: there is no such file or folder")
    if path.is_dir() and is_text:
        raise UserError(f"{value}: is a folder; text comes from a file: .txt, {', '.join(TABLE_SUFFIXES)}")
    if path.is_dir():
        return images_below(path)
    if is_text and path.suffix.lower() == ".txt":
        return _read_lines(path, spec.encoding)
    return open_table(path, spec.sep, spec.header, spec.encoding)


def _read_lines(path: Path, encoding: str) -> Source:
    """A .txt file: one text per line; blank lines count as rows without text."""
    try:
        with open(path, encoding=with_mark(encoding), newline=None) as file:
            lines = [line.rstrip("\n") for line in file]
    except UnicodeError as error:
        raise wrong_encoding(path, encoding) from error
    if not lines:
        raise UserError(f"{path}: the file is empty")
    rows = as_dataset(pa.table({"text": pa.array(lines, pa.string())}))
    return Source(str(path), rows, ("path", path.resolve()), lines=range(1, len(lines) + 1))


def images_below(path: Path) -> Source:
    """All files below a folder, whatever its folders are called."""
    files = files_below(path)
    if not files:
        raise UserError(f"{path}: the folder holds no files")
    rows = datasets.Dataset.from_dict({"image": [str(file) for file in files]})
    return Source(str(path), rows, ("path", path.resolve()), classes=())


def _columns(spec, kind: str, source: Source) -> dict[str, str]:
    if source.classes is not None:
        return {"image": "image"}
    return find_inputs(kind, {kind: getattr(spec, kind)}, source)


def _read(spec, source: Source, columns: dict[str, str], progress: bool) -> Content:
    if isinstance(spec, RawText):
        return read_texts(source, find_inputs("text", columns, source), drop_empty=True)
    named = "image" if source.classes is not None else find_inputs("image", columns, source)["image"]
    return read_images(source, named, spec.drop_broken, progress)


def content_keys(rows: datasets.Dataset) -> set[bytes]:
    """Return the keys of the texts (of a pair, of both) or images in `rows`, as [`load_raw`] compares them."""
    if "image" in rows.column_names:
        return {check_image(image)[0] for batch in encoded_images(rows) for image in batch}
    texts = [name for name in ("text", "text_pair") if name in rows.column_names]
    return {content_key(text) for name in texts for text in rows[name]}
