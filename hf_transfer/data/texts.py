"""The text columns of a source, and the keys by which equal texts are recognised."""

import unicodedata
from hashlib import blake2b

import datasets
import pyarrow as pa

from ..errors import UserError
from .content import Content
from .sources import Source

DROP_HINT = "; --data.drop_empty leaves such rows out"
_BATCH = 1_000


def content_key(text: str, text_pair: str | None = None) -> bytes:
    """The same 16 bytes for texts that differ in Unicode form or white space alone (NFKC, runs of space as one)."""
    joined = _normal(text) if text_pair is None else f"{_normal(text)}\0{_normal(text_pair)}"
    return blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_texts(source: Source, columns: dict[str, str], drop_empty: bool, hint: str = DROP_HINT) -> Content:
    """The text columns under the names `text` and `text_pair`, read once for keys, empty rows and the fingerprint.

    Raises:
        `UserError`: a column does not hold text, or rows are empty and `drop_empty` is off.
    """
    names = {kind: columns[kind] for kind in ("text", "text_pair") if kind in columns}
    rows = source.rows
    for kind, name in names.items():
        _check_is_text(source, kind, name)
    exact = blake2b(digest_size=16)
    keys, empty = [], []
    # Arrow batches: the texts exist as Python strings for one batch only
    for batch in rows.select_columns(list(names.values())).with_format("arrow").iter(batch_size=_BATCH):
        texts = [batch[name].to_pylist() for name in names.values()]
        for row in zip(*texts, strict=True):
            if any(text is None or not text.strip() for text in row):
                empty.append(len(keys))
                keys.append(b"")
                continue
            keys.append(content_key(*row))
            for text in row:
                exact.update(text.encode("utf-8", "surrogatepass") + b"\0")
    if empty and not drop_empty:
        raise UserError(
            f"{source.where}: column {' or '.join(map(repr, names.values()))} is empty in {source.some_rows(empty)}; "
            f"every row needs text{hint}"
        )
    renamed = _rename(rows, names)
    return Content(renamed, keys, empty, exact.hexdigest())


def _rename(rows: datasets.Dataset, names: dict[str, str]) -> datasets.Dataset:
    """Only the columns of `names`, under our names, whatever else the data set calls `text`."""
    kept = rows.select_columns(list(names.values()))
    return kept.rename_columns({name: kind for kind, name in names.items() if name != kind})


def _normal(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.split())


def _check_is_text(source: Source, kind: str, name: str) -> None:
    arrow = source.rows.features.arrow_schema.field(name).type
    if not (pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)):
        raise UserError(f"{source.where}: column {name!r} (data.{kind}) holds {arrow}, allowed: text")
