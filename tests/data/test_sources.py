"""What a name stands for: a file, a split, a Hub data set; and what is said when it is none of them."""

import datasets
import pytest

from hf_transfer.data import TextClassification, load_data
from hf_transfer.errors import UserError


def rows(name, n, labels=(0, 1), hidden=False):
    cells = [-1 if hidden else labels[i % len(labels)] for i in range(n)]
    built = datasets.Dataset.from_dict({"sentence": [f"{name} {i}" for i in range(n)], "label": cells})
    return built.cast_column("label", datasets.ClassLabel(names=["negative", "positive"]))


@pytest.fixture
def hub(monkeypatch):
    """A Hub with one data set in SST-2's shape: three splits, the labels of test hidden."""
    splits = datasets.DatasetDict(
        train=rows("train", 40), validation=rows("validation", 10), test=rows("test", 6, hidden=True)
    )
    asked = []

    def load_dataset(path, config=None, split=None):
        asked.append((path, config, split))
        if path == "owner/other":
            return datasets.DatasetDict(train=rows("other train", 4), test=rows("other test", 8))
        return splits if split is None else rows(split, 4)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def starts(part):
    return {text.rsplit(" ", 1)[0] for text in part["text"]}


def test_own_splits_are_used_and_a_hidden_one_is_not(hub):
    splits = load_data(TextClassification("owner/sst2:plain"))
    assert hub == [("owner/sst2", "plain", None)]
    assert starts(splits.validation) == {"validation"} and starts(splits.test) == {"train"}
    assert (len(splits.train), len(splits.test)) == (32, 8) and splits.labels.names == ("negative", "positive")
    assert any("split test" in note and "not used" in note for note in splits.notes)


def test_a_split_that_is_tested_on_is_not_validated_on(hub):
    splits = load_data(TextClassification("owner/sst2", text="sentence", test="validation"))
    assert starts(splits.test) == {"validation"} and starts(splits.validation) == {"train"}


def test_other_names(hub):
    other = load_data(TextClassification("owner/sst2", test="owner/other"))
    assert starts(other.test) == {"other test"}
    assert starts(load_data(TextClassification("owner/sst2", test="train[:4]")).test) == {"train[:4]"}
    with pytest.raises(UserError, match="no split 'dev'; splits: train, validation, test"):
        load_data(TextClassification("owner/sst2", test="dev"))
    with pytest.raises(UserError, match="no split 'training'; splits"):
        load_data(TextClassification("owner/sst2", train_split="training"))


def test_a_file_for_test_beside_a_hub_data_set(hub, write):
    path = write("t.csv", "sentence,label\nnew,negative\nnewer,positive\n")
    assert load_data(TextClassification("owner/sst2", test=path)).test["label"][:] == [0, 1]


@pytest.fixture
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", ["stanfordnlp/sst2", "glue:sst2"])
def test_hub_out_of_reach(offline, name):
    with pytest.raises(UserError) as caught:
        load_data(TextClassification(name))
    message = str(caught.value)
    assert repr(name.split(":")[0]) in message and "--data.train" in message and "--demo" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "error, match",
    [
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist\nmore"),
            "neither a file or folder here",
        ),
        (ConnectionError("no route"), "cannot be reached"),
        (ValueError("BuilderConfig 'x' not found. Available: ['y']"), "Available: .'y'."),
        (RuntimeError("Dataset scripts are no longer supported"), "no longer supported"),
    ],
)
def test_what_the_hub_refuses_is_one_line(monkeypatch, error, match):
    def load_dataset(*args, **kwargs):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match=match) as caught:
        load_data(TextClassification("a/b:x"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["reviews.csv", "data/reviews.parquet", "./reviews", "photos/", "two words"])
def test_a_missing_file_is_not_looked_up_on_the_hub(monkeypatch, name):
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: pytest.fail("asked the Hub"))
    with pytest.raises(UserError, match="no such file"):
        load_data(TextClassification(name))


def test_a_folder_or_a_dict_is_no_text(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        load_data(TextClassification(str(tmp_path)))
