"""CSV and TSV files, read as strings: nothing is guessed and nothing is taken for missing ("null", "NA" are text).

Python's own reader in strict mode is used on purpose. pandas and Arrow read a cell whose quote is never closed as one
long cell that silently swallows all rows after it; and only this reader knows on which line a row stands.
"""

import csv
import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pyarrow as pa

from ..errors import UserError

ROWS_PER_CHUNK = 5_000  # Python strings of one chunk at a time: a big file is held once, as Arrow

# A cell that starts with a quote and is not closed before the next tab or the end of the line.
_STRAY_QUOTE = re.compile(r'(?:^|\t)"(?!(?:[^"]|"")*"(?:\t|$))')


def read_delimited(path: Path, sep: str, header: bool, encoding: str) -> tuple[pa.Table, array]:
    """The cells of `path` as a table of strings, and the line on which each row starts (as an editor counts).

    Raises:
        `UserError`: wrong encoding, no rows, rows of different widths, broken quoting, unusable header.
    """
    quoting = csv.QUOTE_NONE if sep == "\t" and not _has_quoting(path, encoding) else csv.QUOTE_MINIMAL
    chunks, lines = [], array("q")
    with _open(path, encoding) as file, _no_field_limit():
        reader = csv.reader(file, delimiter=sep, quoting=quoting, strict=True)
        rows = _rows(path, reader)
        line, first = next(rows, (0, None))
        if first is None:
            raise UserError(f"{path}: the file is empty")
        names = _check_header(path, first) if header else [str(i) for i in range(len(first))]
        cells = [[] for _ in names]
        for at, row in rows if header else chain([(line, first)], rows):
            if len(row) != len(names):
                raise UserError(f"{path}: line {at} has {len(row)} cells, the first line has {len(names)}")
            for column, cell in zip(cells, row, strict=True):
                column.append(cell)
            lines.append(at)
            if len(lines) % ROWS_PER_CHUNK == 0:
                chunks.append([pa.array(column, pa.string()) for column in cells])
                cells = [[] for _ in names]
    chunks.append([pa.array(column, pa.string()) for column in cells])
    if not lines:
        raise UserError(f"{path}: the file has a header and no rows")
    columns = [pa.chunked_array([chunk[i] for chunk in chunks]) for i in range(len(names))]
    return pa.table(columns, names=names), lines


def _rows(path: Path, reader) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not a blank line, with the line it starts on."""
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise UserError(f'{path}: the quote (") opened in the row of line {line} is never closed') from error
        raise UserError(
            f'{path}: line {reader.line_num}: text follows a closing quote; a quote within a quoted cell is written ""'
        ) from error


def _check_header(path: Path, names: list[str]) -> list[str]:
    # spreadsheets leave blank columns at the end, pandas an unnamed index in front
    names = [name if name.strip() else f"unnamed_{i}" for i, name in enumerate(names, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: the header names column {twice[0]!r} twice; columns: {', '.join(names)}")
    return names


def _has_quoting(path: Path, encoding: str) -> bool:
    """Whether quotes in a tab-separated file are quoting, not text.

    Tab-separated files come in both kinds. Quotes are text when some cell starts with a quote it does not close while
    every line has the same number of tabs, so that each line is a whole row as it stands.
    """
    stray, widths = False, set()
    with _open(path, encoding) as file:
        for line in file:
            line = line.rstrip("\r\n")
            if line:
                widths.add(line.count("\t"))
                stray = stray or ('"' in line and _STRAY_QUOTE.search(line) is not None)
    return not (stray and len(widths) == 1)


@contextmanager
def _no_field_limit():
    """Python's reader refuses cells over 128 KB, a limit for the whole process: lift it while we read."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@contextmanager
def _open(path: Path, encoding: str):
    """`path` as text, a byte order mark skipped; a decoding error becomes a `UserError` with its line."""
    try:
        with open(path, encoding=with_mark(encoding), newline="") as file:
            yield file
    except UnicodeError as error:
        raise wrong_encoding(path, encoding) from error


def with_mark(encoding: str) -> str:
    """UTF-8 that skips the byte order mark spreadsheet programs write in front."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def wrong_encoding(path: Path, encoding: str) -> UserError:
    """The error for a file that is not in `encoding`, with the first line that is not."""
    with open(path, "rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return UserError(f"{path}: is not {encoding} but looks like utf-16; pass --data.encoding utf-16")
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeError as error:
                found = f" (byte 0x{line[error.start]:02x})" if isinstance(error, UnicodeDecodeError) else ""
                return UserError(
                    f"{path}: line {number} is not {encoding}{found}; pass the file's own, such as --data.encoding "
                    "cp1252, gb18030 or utf-16"
                )
    return UserError(f"{path}: is not {encoding}; pass the file's own as --data.encoding")
