"""One table file, whatever its format, as an Arrow table held once in memory."""

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from ..errors import UserError
from .delimited import ROWS_PER_CHUNK, read_delimited, with_mark, wrong_encoding

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Args:
        rows (`pyarrow.Table`): one column per column of the file.
        lines (`Sequence[int]`): the line each row starts on; none where a row has no line (Parquet, one JSON list).
        strings (`bool`): the format knows only text, so the type of a label is to be found from how it is written.
    """

    rows: pa.Table
    lines: Sequence[int] | None
    strings: bool


def read_table(path: Path, sep: str | None = None, header: bool = True, encoding: str = "utf-8") -> Table:
    """Read a .csv, .tsv, .jsonl, .json or .parquet file.

    Raises:
        `UserError`: a missing, empty or damaged file, or another kind of file.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise UserError(f"{path}: cannot read a {suffix or 'suffix-less'} file; allowed: {', '.join(TABLE_SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    if suffix in (".csv", ".tsv"):
        rows, lines = read_delimited(path, sep or ("\t" if suffix == ".tsv" else ","), header, encoding)
        return Table(rows, lines, strings=True)
    if suffix == ".parquet":
        return Table(_read_parquet(path), None, strings=False)
    try:
        rows, lines = _read_json_lines(path, encoding) if suffix == ".jsonl" else (_read_json(path, encoding), None)
    except UnicodeError as error:
        raise wrong_encoding(path, encoding) from error
    return Table(rows, lines, strings=False)


def _read_parquet(path: Path) -> pa.Table:
    try:
        table = pa.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: is not a readable Parquet file ({str(error).splitlines()[0]})") from error
    # pandas writes categories as dictionaries, which datasets cannot hold
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table[field.name].cast(field.type.value_type))
    if not table.num_rows:
        raise UserError(f"{path}: the file has no rows")
    return table


def _read_json_lines(path: Path, encoding: str) -> tuple[pa.Table, array]:
    chunks, rows, lines = [], [], array("q")
    with open(path, encoding=with_mark(encoding)) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}: line {number} is not JSON ({error.msg} at column {error.colno})") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}: line {number} is not a JSON object such as {{'text': ..., 'label': ...}}")
            rows.append(row)
            lines.append(number)
            if len(rows) == ROWS_PER_CHUNK:
                chunks.append(_from_rows(path, rows))
                rows = []
    if rows:
        chunks.append(_from_rows(path, rows))
    if not chunks:
        raise UserError(f"{path}: the file is empty")
    try:  # a column that is absent or whole-numbered in one chunk may be there or be a float in the next
        return pa.concat_tables(chunks, promote_options="permissive"), lines
    except pa.ArrowException as error:
        raise UserError(f"{path}: a column mixes types ({str(error).splitlines()[0]})") from error


def _read_json(path: Path, encoding: str) -> pa.Table:
    with open(path, encoding=with_mark(encoding)) as file:
        try:
            rows = json.load(file)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}: line {error.lineno} is not JSON ({error.msg}); name the file .jsonl if each line is one row"
            ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: must hold a JSON list of objects such as {{'text': ..., 'label': ...}}")
    if not rows:
        raise UserError(f"{path}: the file has no rows")
    return _from_rows(path, rows)


def _from_rows(path: Path, rows: list[dict]) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)  # a key may be absent from the first row
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except pa.ArrowException as error:
            raise UserError(f"{path}: column {name!r} mixes types ({str(error).splitlines()[0]})") from error
    return pa.table(columns)
