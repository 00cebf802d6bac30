"""From a [`SourceTarget`] to rows: a labelled source, and a target whose labels are read where they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from ..errors import UserError
from .cells import Cells, labelled_rows, read_cells
from .columns import find_columns, find_inputs
from .content import Content
from .folders import split_folders
from .labels import Labels, encode, labels_of
from .loading import Splits, load_data
from .parts import labelled_dataset, read_content, read_part, usable_rows
from .raw_loading import images_below
from .source_target import SourceTarget
from .sources import Opened, Source, as_dataset, open_sources, open_value, refuse_same
from .splits import cut, few_of_each, without

UNLABELLED = -100  # the label that cross-entropy leaves out
HELD_OUT = 0.2  # of the labelled target rows, to choose by


@dataclass
class Domains(Splits):
    """Rows of two domains. `train` and `validation` are the source's; `test` is what the model is measured on: target
    rows where labelled ones are given for it, else the source's.

    Args:
        target (`datasets.Dataset`): rows of the target to learn from; `label` is -100 where there is none to read.
        held_out (`datasets.Dataset`, *optional*): labelled target rows that choose the model.
        source_test (`datasets.Dataset`): labelled test rows of the source.
        target_columns (`dict`): the columns that target rows came from.
        tests_target (`bool`): whether `test` is of the target.
    """

    target: datasets.Dataset
    held_out: datasets.Dataset | None
    source_test: datasets.Dataset
    target_columns: dict[str, str]
    tests_target: bool

    @property
    def labelled(self) -> np.ndarray:
        """Which rows of `target` have a label that was read."""
        return np.flatnonzero(labels_of(self.target) != UNLABELLED)

    def target_alone(self) -> Splits:
        """The labelled target rows as splits of their own: what could be learnt without a source."""
        names = ("labels", "columns", "fingerprint", "contents", "dropped", "notes", "test")
        rows = self.labelled
        train = self.target.select(rows, new_fingerprint=f"{self.fingerprint}target_alone")
        digest = blake2b(f"{self.contents['target']}{rows.tolist()}".encode(), digest_size=16).hexdigest()
        shared = {name: getattr(self, name) for name in names}
        shared["contents"] = {**self.contents, "train": digest, "validation": self.contents["held_out"]}
        return Splits(train=train, validation=self.held_out, **shared)


def load_domains(spec: SourceTarget, *, label_order: Sequence[str] | None = None, progress: bool = True) -> Domains:
    """Read both domains. Classes are the source's; a target row whose content is also measured on is left out.

    Args:
        spec (`SourceTarget`): where the rows come from, and whether target labels may be read.
        label_order (`Sequence[str]`), progress (`bool`): see [`load_data`].

    Raises:
        `UserError`: anything in the data that the user has to mend or decide.
    """
    target = _Target(spec, progress)
    source = load_data(spec.source, label_order=label_order, progress=progress, held_out=target.test_keys)
    if source.labels.problem_type != "single_label_classification":
        raise UserError(
            f"data.source is a {source.labels.problem_type}; with SourceTarget: single_label_classification"
        )
    target.learn_classes(source.labels)
    fingerprint = blake2b(f"{source.fingerprint} {target.digest()}".encode(), digest_size=16).hexdigest()
    tested = target.test_rows(f"{fingerprint}test")
    held_out = target.held_out_rows(f"{fingerprint}held_out")
    notes = [f"source: {note}" for note in source.notes] + target.notes
    if tested is None:
        notes.append("target: no labelled test rows (data.test), so the test figures are of the source")
    return Domains(
        train=source.train,
        validation=source.validation,
        test=source.test if tested is None else tested,
        labels=source.labels,
        columns=source.columns,
        fingerprint=fingerprint,
        contents={**source.contents, "target": target.content_of(target.rows), "held_out": target.held_out_content},
        dropped={**source.dropped, **target.dropped},
        notes=tuple(notes),
        target=target.unlabelled_rows(f"{fingerprint}target"),
        held_out=held_out,
        source_test=source.test,
        target_columns=target.columns,
        tests_target=tested is not None,
    )


class _Target:
    """The target on its way from what is named to rows."""

    def __init__(self, spec: SourceTarget, progress: bool):
        self.spec, self.notes = spec, []
        opened = _open(spec)
        self.source, self.reads = opened.train, spec.target_labels or isinstance(spec.test, float)
        self.columns = _columns(spec.target, self.source, self.reads)
        self.content = read_content(spec.target, self.source, self.columns, progress)
        self.rows = usable_rows(self.content, self.source)
        if self.source.classes is not None and not spec.target_labels:
            # Class folders are labels: what is not to be read must not decide the order of rows either.
            self.rows = np.array(sorted(self.rows, key=self.content.keys.__getitem__), dtype=np.int64)
        self.cells = (
            read_cells(self.source, self.columns["label"], spec.target.label_separator) if self.reads else None
        )
        self.dropped = {"target_unusable": len(self.content.unusable) + self.source.dropped}
        self.test = self.given(opened.test, "test", progress)
        self.validation = self.given(opened.validation, "validation", progress) if spec.target_labels else None
        self.cut_test = np.array([], dtype=np.int64)
        if isinstance(spec.test, float):
            self._cut_test(spec.test)
        before = len(self.rows)
        held_out = {*self.test_keys, *(self.validation.keys if self.validation else ())}
        self.rows = without(self.rows, self.content.keys, held_out)
        self.dropped["leaked_target"] = before - len(self.rows)
        if not len(self.rows):
            raise UserError(f"{self.source.where}: every row of data.target also stands in data.test")
        self.labels, self.chosen = np.full(len(self.content.keys), UNLABELLED), np.array([], dtype=np.int64)

    def given(self, source: Source | None, name: str, progress: bool):
        """A part of labelled rows that was named, or that the data set brings."""
        if source is None:
            return None
        part = read_part(self.spec.target, source, _columns(self.spec.target, source, True), progress)
        if not labelled_rows(part.cells, source, part.rows):
            self.notes.append(f"{name}: {source.where} has no labels (all missing or -1) and is not used")
            return None
        return part

    def _cut_test(self, fraction: float) -> None:
        """Cut rows to measure on; their labels alone are looked at."""
        keys = [self.content.keys[row] for row in self.rows]
        parts = cut(keys, None, {"test": fraction}, self.spec.target.split_seed, self.source.where)
        self.cut_test, self.rows = self.rows[parts["test"]], self.rows[parts["train"]]
        missing = [row for row in self.cut_test if self.cells.values[row] is None]
        if missing:
            raise UserError(
                f"{self.source.where}: data.test {fraction:g} cuts rows to measure on, and {self.cells.column} has no "
                f"label in {self.source.some_rows(missing)}; name a labelled file as data.test"
            )
        self.notes.append(
            f"test: {len(self.cut_test)} target rows cut ({fraction:g}, by content, seed "
            f"{self.spec.target.split_seed}); their labels are only measured on"
        )

    @property
    def test_keys(self) -> set[bytes]:
        """Content that is measured on."""
        return {*(self.test.keys if self.test else ()), *(self.content.keys[row] for row in self.cut_test)}

    def learn_classes(self, labels: Labels) -> None:
        """Read the labels that may be read, now that the classes are known."""
        self.classes = labels
        for part in (self.test, self.validation):
            if part is not None:
                part.encoded = encode(labels, part.cells, part.source, part.rows)
        if not self.spec.target_labels:
            return
        hidden = {None} if "-1" in labels.names else {None, "-1"}
        values = [None if value in hidden else value for value in self.cells.values]
        cells = Cells(self.cells.column_name, values, self.cells.kind, self.cells.declared)
        known = np.array([row for row in self.rows if values[row] is not None], dtype=np.int64)
        if not len(known):
            raise UserError(
                f"{self.source.where}: {cells.column} has no label at all, and data.target_labels asks for some"
            )
        encoded = encode(labels, cells, self.source, known)
        count = self.spec.target.train_per_class
        if count is not None:
            keys = [self.content.keys[row] for row in known]
            known = known[few_of_each(keys, encoded[known].tolist(), count, self.spec.target.split_seed)]
        self.labels[known] = encoded[known]
        self.notes.append(f"target: {len(known)} of {len(self.rows)} rows have a label that is read")
        if self.validation is None and self.spec.selection in ("auto", "target"):
            self._hold_out(known)

    def _hold_out(self, known: np.ndarray) -> None:
        """Set labelled rows aside to choose by; where a class has too few, the source chooses and a note says so."""
        asked = self.spec.target.validation
        fraction = asked if isinstance(asked, float) else HELD_OUT
        classes = [str(label) for label in self.labels[known]]
        try:
            parts = cut(
                [self.content.keys[row] for row in known], classes, {"validation": fraction},
                self.spec.target.split_seed, self.source.where,
            )  # fmt: skip
        except UserError as error:
            if self.spec.selection == "target":
                raise
            self.notes.append(f"target: too few labels to hold any out, so source rows choose the model ({error})")
            return
        self.chosen = known[parts["validation"]]
        self.rows = np.setdiff1d(self.rows, self.chosen)
        self.notes.append(f"target: {len(self.chosen)} labelled rows held out to choose the model by")

    def unlabelled_rows(self, fingerprint: str) -> datasets.Dataset:
        return _with_labels(self.content, self.labels, self.rows, fingerprint)

    def held_out_rows(self, fingerprint: str) -> datasets.Dataset | None:
        if self.validation is not None:
            return labelled_dataset(self.validation, self.classes, new_fingerprint=fingerprint)
        if not len(self.chosen):
            return None
        return _with_labels(self.content, self.labels, self.chosen, fingerprint)

    def test_rows(self, fingerprint: str) -> datasets.Dataset | None:
        if self.test is not None:
            return labelled_dataset(self.test, self.classes, new_fingerprint=fingerprint)
        if not len(self.cut_test):
            return None
        labels = encode(self.classes, self.cells, self.source, self.cut_test)
        return _with_labels(self.content, labels, self.cut_test, fingerprint)

    @property
    def held_out_content(self) -> str:
        if self.validation is not None:
            return blake2b(b"".join(self.validation.keys), digest_size=16).hexdigest()
        return self.content_of(self.chosen)

    def content_of(self, rows: np.ndarray) -> str:
        """Hash of the rows' own content, in order."""
        return blake2b(b"".join(self.content.keys[row] for row in rows), digest_size=16).hexdigest()

    def digest(self) -> str:
        """Of all that is learnt from the target and measured on it."""
        read = self.labels[self.rows].tobytes().hex() if self.spec.target_labels else ""
        parts = [self.content_of(self.rows), self.held_out_content, read]
        parts += [self.content_of(self.cut_test), *("" if one is None else one.content.digest for one in (self.test,))]
        return " ".join(parts)


def _open(spec: SourceTarget) -> Opened:
    """Open the target; a folder of images whose labels nobody reads need not have class folders."""
    target = replace(spec.target, test=spec.test)
    path = Path(target.train).expanduser() if isinstance(target.train, str) else None
    unread = not spec.target_labels and not isinstance(spec.test, float)
    if unread and spec.modality == "image" and path is not None and path.is_dir() and not split_folders(path):
        test = None if spec.test is None else open_value(spec.test, target, {}, "data.test")
        opened = Opened(images_below(path), test=test)
        refuse_same(opened)
        return opened
    return open_sources(target)


def _columns(target, source: Source, labelled: bool) -> dict[str, str]:
    if source.classes is not None:
        return {"image": "image", **({"label": "label"} if labelled else {})}
    if labelled:
        return find_columns(target, source)
    names = ("text", "text_pair", "image")
    kind = "image" if hasattr(target, "image") else "text"
    return find_inputs(kind, {name: getattr(target, name) for name in names if hasattr(target, name)}, source)


def _with_labels(content: Content, labels: np.ndarray, rows: np.ndarray, fingerprint: str) -> datasets.Dataset:
    column = as_dataset(pa.table({"label": pa.array(labels.astype(np.int64))}))
    return datasets.concatenate_datasets([content.rows, column], axis=1).select(rows, new_fingerprint=fingerprint)
