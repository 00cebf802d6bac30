"""From a spec to three labelled splits.

The one path: open the sources, find the columns, read content and labels, cut what is missing from train, drop what
leaks, encode the labels.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b

import datasets
import numpy as np

from ..errors import UserError
from .cells import labelled_rows
from .columns import find_columns, same_columns
from .labels import Labels, balanced_weights, describe, encode, find_problem_type, name_classes
from .parts import Part, labelled_dataset, read_part
from .sources import Opened, open_sources
from .spec import TextClassification
from .splits import cut, few_of_each, same_content, without
from .text_images import shared_images

CUT_BY_DEFAULT = {"test": 0.2, "validation": 0.1}


@dataclass
class Splits:
    """Rows ready to train on.

    Args:
        train, validation, test (`datasets.Dataset`): columns `text` and maybe `text_pair`, or `image` (decoded on
            access); and `label`: int class id, list of 0.0 / 1.0 per class, or float.
        labels (`Labels`): what the labels mean.
        columns (`dict`): the source columns they came from, such as `{"text": "body", "label": "stars"}`.
        fingerprint (`str`): hex digest of content, labels, splits and spec; the same wherever the files lie.
        contents (`dict[str, str]`): by split, hex digest of the rows' own content in order, whatever their labels; of
            the images alone where rows have a text too.
        dropped (`dict[str, int]`): rows left out and why: empty, broken, leaked (from train, as they also stand in
            validation or test), leaked_validation (from validation, as they also stand in test).
        notes (`tuple[str, ...]`): lines for people: what was found, cut or left unused.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    test: datasets.Dataset
    labels: Labels
    columns: dict[str, str | list[str]]
    fingerprint: str
    contents: dict[str, str]
    dropped: dict[str, int]
    notes: tuple[str, ...]


def load_data(
    spec,
    *,
    label_order: Sequence[str] | None = None,
    progress: bool = True,
    held_out: Collection[bytes] = frozenset(),
) -> Splits:
    """Read what `spec` names, split it, drop rows of train that also stand in validation or test.

    Args:
        spec (`TextClassification`, `ImageClassification` or `TextImageClassification`): where rows come from.
        label_order (`Sequence[str]`): the class names of a trained checkpoint; where the data has the same names, ids
            follow this order.
        progress (`bool`): show a bar while many images are checked.
        held_out (`Collection[bytes]`): content keys of rows that are measured on elsewhere: they leave train and
            validation, and count as leaked.

    Raises:
        `UserError`: anything in the data that the user has to mend or decide.
    """
    opened = open_sources(spec)
    columns = find_columns(spec, opened.train)
    parts, notes = _read_parts(spec, opened, columns, progress)
    train = parts["train"]
    if {"validation", "test"} <= set(parts) and same_content(parts["validation"].keys, parts["test"].keys):
        raise UserError(
            f"data.validation ({parts['validation'].source.where}) and data.test ({parts['test'].source.where}) hold "
            "the same rows; leave one out to have it cut from train"
        )
    problem_type = find_problem_type(spec, train.cells, train.source)
    for field in ("class_weights", "train_per_class"):
        if getattr(spec, field) and problem_type != "single_label_classification":
            raise UserError(f"data.{field} is {getattr(spec, field)!r}, allowed for {problem_type}: none")
    labels = Labels(problem_type, name_classes(problem_type, train.cells, train.source, label_order))
    notes.insert(0, describe(labels, train.cells, spec.problem_type is not None))
    dropped = {"empty": 0} if isinstance(spec, TextClassification) else {"empty": 0, "broken": 0}
    for part in parts.values():
        dropped["empty"] += part.content.empty
        dropped[list(dropped)[-1]] += len(part.content.unusable) - part.content.empty + part.source.dropped
        part.encoded = encode(labels, part.cells, part.source, part.rows)
    _cut_missing(spec, parts, labels, notes)
    _drop_leaks(parts, dropped, set(held_out))
    if spec.train_per_class is not None:
        notes.append(_take_few(spec, parts, labels))
    _note_shared_images(parts, notes)
    _check_all_trained(labels, parts, notes)
    if spec.class_weights:
        labels = replace(labels, class_weights=balanced_weights(parts["train"].labels, labels.num_labels))
    fingerprint = _fingerprint(spec, labels, parts)
    ready = {
        name: labelled_dataset(part, labels, new_fingerprint=f"{fingerprint}{name}") for name, part in parts.items()
    }
    contents = {name: blake2b(b"".join(_own_keys(part)), digest_size=16).hexdigest() for name, part in parts.items()}
    return Splits(
        **ready,
        labels=labels,
        columns=columns,
        fingerprint=fingerprint,
        contents=contents,
        dropped=dropped,
        notes=tuple(notes),
    )


def _read_parts(spec, opened: Opened, columns: dict, progress: bool) -> tuple[dict[str, Part], list[str]]:
    """The sources that have labels, and a note on each that has none."""
    parts, notes = {}, []
    for name in ("train", "validation", "test"):
        source = getattr(opened, name)
        if source is None:
            continue
        part = read_part(spec, source, same_columns(columns, source), progress)
        if labelled_rows(part.cells, source, part.rows):
            parts[name] = part
        elif name == "train":
            raise UserError(f"{source.where}: {part.cells.column} has no labels (all missing or -1) to train on")
        else:
            notes.append(f"{name}: {source.where} has no labels (all missing or -1) and is not used")
    return parts, notes


def _cut_missing(spec, parts: dict[str, Part], labels: Labels, notes: list[str]) -> None:
    """Cut the splits that are not there from train."""
    fractions = {}
    for name, default in CUT_BY_DEFAULT.items():
        if name not in parts:
            asked = getattr(spec, name)
            fractions[name] = asked if isinstance(asked, float) else default
    if not fractions:
        return
    train = parts["train"]
    stratified = labels.problem_type == "single_label_classification"
    classes = [train.cells.values[i] for i in train.rows] if stratified else None
    for name, positions in cut(train.keys, classes, fractions, spec.split_seed, train.source.where).items():
        parts[name] = replace(train, rows=train.rows[positions])
    for name, fraction in fractions.items():
        kind = ", stratified" if stratified else ""
        notes.append(
            f"{name}: {len(parts[name].rows)} rows cut from train ({fraction:g}{kind}, seed {spec.split_seed})"
        )


def _drop_leaks(parts: dict[str, Part], dropped: dict[str, int], held_out: set[bytes]) -> None:
    """Test keeps all its rows; validation loses those of test, train those of either."""
    held_out |= set(parts["test"].keys)
    for name, count in (("validation", "leaked_validation"), ("train", "leaked")):
        part = parts[name]
        rows = without(part.rows, part.content.keys, held_out)
        if not len(rows):
            others = "test" if name == "validation" else "validation or test"
            raise UserError(f"{part.source.where}: every row of {name} also stands in {others}")
        dropped[count] = len(part.rows) - len(rows)
        held_out.update(part.keys)
        parts[name] = replace(part, rows=rows)


def _take_few(spec, parts: dict[str, Part], labels: Labels) -> str:
    """Leave a few rows of each class in train, and say how many."""
    part, count = parts["train"], spec.train_per_class
    drawn = few_of_each(part.keys, part.labels.tolist(), count, spec.split_seed)
    parts["train"] = replace(part, rows=part.rows[drawn])
    sizes = np.bincount(parts["train"].labels, minlength=labels.num_labels)
    short = [f"{name} has {size}" for name, size in zip(labels.names, sizes, strict=True) if 0 < size < count]
    note = f"train: {len(drawn)} of {len(part.rows)} rows, {count} of each class (seed {spec.split_seed})"
    return note + (f"; {', '.join(short)}" if short else "")


def _note_shared_images(parts: dict[str, Part], notes: list[str]) -> None:
    """A picture on both sides of a split is no leak beside another text, but may make the scores too good."""
    if parts["train"].content.image_keys is not None:
        shared = shared_images(parts["test"], parts["train"])
        if shared:
            notes.append(f"test: {shared} rows have an image that train has too, beside another text")


def _own_keys(part: Part) -> list[bytes]:
    """The content of a split as a single backbone knows it: an image net's features do not depend on a text."""
    images = part.content.image_keys
    return part.keys if images is None else [images[row] for row in part.rows]


def _check_all_trained(labels: Labels, parts: dict[str, Part], notes: list[str]) -> None:
    """No class may be tested that is never trained on: declared but absent, or only in rows that leaked."""
    if labels.problem_type == "regression":
        return
    if labels.problem_type == "multi_label_classification":  # a rare label need not be in every split
        absent = [name for name, on in zip(labels.names, parts["train"].labels.any(axis=0), strict=True) if not on]
        if absent:
            notes.append(f"labels: no row of train has {', '.join(absent)}")
        return
    trained = np.unique(parts["train"].labels)
    if len(trained) < 2:
        raise UserError(f"{parts['train'].source.where}: train is left with a single class, at least 2 are needed")
    for name in ("validation", "test"):
        part = parts[name]
        unseen = part.rows[~np.isin(part.labels, trained)]
        if len(unseen):
            row, label = part.source.row(unseen[0]), labels.names[part.encoded[unseen[0]]]
            raise UserError(
                f"{part.source.where}: {row}: label {label!r} stands in {name} and not in train, which has: "
                f"{', '.join(labels.names[i] for i in trained)}"
            )


def _fingerprint(spec, labels: Labels, parts: dict[str, Part]) -> str:
    """Of what is learned from and how it was asked for, not of where it lies."""
    asked = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in ("train", "validation", "test")}
    if asked["train_per_class"] is None:  # as before there was such a field
        del asked["train_per_class"]
    digest = blake2b(json.dumps([type(spec).__name__, asked, asdict(labels)]).encode(), digest_size=16)
    for name in ("train", "validation", "test"):
        part = parts[name]
        digest.update(f"{name} {part.content.digest} {len(part.rows)}".encode())
        digest.update(part.rows.astype("<i8").tobytes())
        digest.update(part.labels.astype("<f4" if part.labels.dtype == np.float32 else "<i8").tobytes())
    return digest.hexdigest()
