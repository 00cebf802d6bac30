"""The size of a batch follows the clock only where somebody asked, and what was taken is written down."""

import json

import pytest
from accelerate import PartialState
from datasets import Dataset
from matrix import watched
from mini import make_texts

from hf_transfer import FrozenFeatures, LinearHead, Recipe, TextBackbone, TextClassification, run
from hf_transfer.errors import UserError
from hf_transfer.features import budget, cache
from hf_transfer.features.budget import Probe, time_budgets
from hf_transfer.features.sources import Texts
from hf_transfer.inputs import collator, encode
from hf_transfer.runner import Interrupted

SETTINGS = {"num_train_epochs": 1, "learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def fastest(monkeypatch):
    """Let a machine prefer the budget that is put into the list, and tell which ones were timed."""
    timed, preferred = [], []

    def rates(batches, *_):
        timed.append(list(batches))
        return {size: 900.0 if size == preferred[-1] else 100.0 for size in batches}

    monkeypatch.setattr(budget, "time_budgets", rates)
    return timed, preferred


def recipe(checkpoint, reviews) -> Recipe:
    return Recipe(
        "mini",
        TextClassification(str(reviews), text="body", label="stars"),
        TextBackbone(str(checkpoint), max_length=32),
        LinearHead(fit="sgd"),
        FrozenFeatures(),
        training=SETTINGS,
    )


def keys() -> set[str]:
    return {entry.folder.name for entry in cache.entries()}


def test_a_run_without_the_flag_never_times(tmp_path, mini_text, reviews, monkeypatch):
    def never(*_):
        raise AssertionError("timed without being asked")

    monkeypatch.setattr(budget, "time_budgets", never)
    monkeypatch.setattr(budget.Probe, "take", never)
    result = run(recipe(mini_text, reviews), tmp_path / "out")
    assert "budget" not in result.data


def test_a_probed_run_records_what_it_took_and_batches_by_it(tmp_path, mini_text, reviews, fastest, capsys):
    timed, preferred = fastest
    run(recipe(mini_text, reviews), tmp_path / "plain")
    plain = keys()
    preferred.append(1024)
    result = run(recipe(mini_text, reviews), tmp_path / "out", probe_budget=True)
    rates = {"4096": 100.0, "1024": 900.0, "2048": 100.0, "8192": 100.0, "16384": 100.0}
    expected = {"unit": "tokens", "taken": 1024, "default": 4096, "rows_per_s": rates}
    assert result.data["budget"] == json.loads(result.path.read_text())["budget"] == expected
    assert "budget     1,024 tokens per batch (default 4,096" in capsys.readouterr().out
    assert timed == [[4096, 1024, 2048, 8192, 16384]]
    assert keys() - plain and result.data["fit"]["computed"] > 0  # a recording of its own

    # Another day the machine prefers another size: what was timed once is kept to, as a second seed needs it.
    preferred.append(8192)
    again = run(recipe(mini_text, reviews), tmp_path / "again", probe_budget=True, seed=1)
    assert again.data["budget"] == expected and len(timed) == 1
    assert again.data["fit"]["computed"] == 0


def test_a_resumed_run_keeps_to_what_was_taken(tmp_path, mini_text, reviews, fastest):
    timed, preferred = fastest
    preferred.append(2048)
    one = recipe(mini_text, reviews)
    with watched(stop_at=2), pytest.raises(Interrupted):
        run(one, tmp_path / "out", probe_budget=True)
    assert (tmp_path / "out/checkpoints/budgets.json").exists()
    cache.clear()
    for path in (cache.root() / ".checks").iterdir():
        path.unlink()
    preferred.append(8192)
    with pytest.raises(UserError, match="probe_budget was True"):
        run(one, tmp_path / "out", resume=True)
    result = run(one, tmp_path / "out", resume=True, probe_budget=True)
    assert result.data["budget"]["taken"] == 2048 and len(timed) == 1


def test_real_batches_are_timed_and_the_fastest_wins(tmp_path, mini_text):
    backbone = TextBackbone(str(mini_text), max_length=32)
    tokenizer = backbone.processor()
    rows = Dataset.from_dict({"text": [text for text, _ in make_texts(300, 0)]})
    source = Texts(encode(backbone, tokenizer, rows), collator(backbone, tokenizer), "cpu")
    ran, said = [], []

    def compute(numbers):
        ran.append(tuple(numbers))
        return {"pooled": source.inputs(numbers)["input_ids"]}

    taken = Probe(PartialState(), said.append, tmp_path / "budgets.json").take(source, {}, "cpu", 1, compute)
    found = json.loads((tmp_path / "budgets.json").read_text())[""]
    rates = {int(size): rate for size, rate in found["rows_per_s"].items()}
    assert taken == found["taken"] == max(rates, key=rates.get) and min(rates.values()) > 0
    assert len(said) == 1 and f"{taken:,} tokens" in said[0]
    assert set(ran) <= {tuple(batch) for size in rates for batch in source.batched(size)}


def test_the_same_batches_are_not_timed_twice_and_what_does_not_fit_is_left_out():
    import torch

    small, large = [[0, 1], [2, 3]], [[0, 1, 2, 3]]
    sizes = []

    def compute(numbers):
        sizes.append(len(numbers))
        if len(numbers) == 4:
            raise torch.OutOfMemoryError("too large")
        return {"pooled": torch.zeros(len(numbers))}

    rates = time_budgets({4: small, 2: [list(one) for one in small], 8: large}, "cpu", 1, compute)
    assert list(rates) == [4] and rates[4] > 0
    assert sizes.count(4) == 1  # once is enough to know
    with pytest.raises(torch.OutOfMemoryError):
        time_budgets({8: large}, "cpu", 1, compute)
