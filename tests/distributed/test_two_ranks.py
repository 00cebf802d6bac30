"""Two CPU ranks under torchrun: one process group, the same result as one process."""

import json
from pathlib import Path

import pytest
from counting import train_counting
from mini import make_texts, write_csv
from ranks import ROOT, RUN_RECIPE, launched, started


def train(ranks: int, name: str, folder: Path, *words: str) -> dict:
    rows = ["--per_device_train_batch_size", 8 // ranks]
    done = launched(ranks, RUN_RECIPE, name, "--output_dir", folder, *rows, *words)
    assert done.stdout.count("  backbone ") == done.stdout.count("The model is in") == 1  # one process speaks
    result = json.loads((folder / "results.json").read_text())
    assert result["environment"]["processes"] == ranks
    return result


@pytest.fixture
def words(tmp_path, mini_text):
    # An odd number of rows, so that neither the ranks nor the batches come out even.
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], make_texts(401))
    return ["--data.train", str(rows), "--backbone.checkpoint", str(mini_text), "--backbone.max_length", "32"]


@pytest.mark.distributed
def test_full_fine_tuning_reaches_the_same_accuracy(tmp_path, words):
    words += ["--num_train_epochs", "5", "--learning_rate", "5e-3", "--warmup_steps", "0"]
    one, two = (train(ranks, "text/full_finetune", tmp_path / str(ranks), *words) for ranks in (1, 2))
    assert two["data"] == one["data"]
    assert two["metrics"]["test"]["accuracy"] == pytest.approx(one["metrics"]["test"]["accuracy"], abs=0.005)


def test_two_ranks_record_the_bytes_of_one_and_take_its_steps(tmp_path, words, monkeypatch):
    """Each rank computes its share of the features. Then rows come in file order and without dropout: the global steps
    hold the same rows, so the weights must come out equal."""
    words += ["--max_steps", "12", "--head.dropout", "0", "--train_sampling_strategy", "sequential"]
    caches, results = {ranks: tmp_path / f"cache{ranks}" for ranks in (1, 2)}, {}
    for ranks, cache in caches.items():
        monkeypatch.setenv("HF_TRANSFER_CACHE", str(cache))
        results[ranks] = train(ranks, "text/lstm_frozen", tmp_path / str(ranks), *words)["metrics"]

    names = [sorted(path.relative_to(cache) for path in cache.rglob("*.npy")) for cache in caches.values()]
    assert names[0] == names[1] and len(names[0]) == 4  # token states and their ends, of two splits
    for name in names[0]:
        assert (caches[1] / name).read_bytes() == (caches[2] / name).read_bytes(), name
    one, two = results.values()
    assert two["test"]["loss"] == pytest.approx(one["test"]["loss"], abs=1e-5)
    assert two["validation"] == pytest.approx(one["validation"], abs=1e-5)


def test_a_mistake_is_told_and_ends_both_ranks(tmp_path, mini_text):
    done = started(
        2, RUN_RECIPE, "text/full_finetune", "--data.train", tmp_path / "nothing.csv",
        "--output_dir", tmp_path / "out", "--backbone.checkpoint", mini_text, "--backbone.max_length", 32,
    )  # fmt: skip
    assert done.returncode != 0
    # The launcher ends the other rank as soon as one has ended, so one line or two appear.
    lines = [line for line in done.stderr.splitlines() if line.removeprefix("[rank 1] ").startswith("error: ")]
    assert 1 <= len(lines) <= 2 and all("nothing.csv" in line for line in lines)


def test_every_row_is_seen_once_and_a_resumed_epoch_sees_the_rest(tmp_path):
    """101 rows in global batches of 8, three to a step; stopped in the second of two epochs."""
    settings = dict(per_device_train_batch_size=4, gradient_accumulation_steps=3)
    launched(2, ROOT / "tests/helpers/counting.py", tmp_path, json.dumps(settings))
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    wholes, rests = ([rank[part] for rank in ranks] for part in ("whole", "rest"))
    together = [sorted([*a, *b]) for a, b in zip(*(whole["seen"] for whole in wholes), strict=True)]
    assert len(together) == 26 and wholes[0]["steps"] == 10
    for epoch in (together[:13], together[13:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(101))
    assert together[:13] != together[13:]

    one = train_counting(tmp_path / "one", **{**settings, "per_device_train_batch_size": 8})
    assert [sorted(batch) for batch in one["seen"]] == together
    for whole, rest in zip(wholes, rests, strict=True):
        assert whole["weights"] == pytest.approx(one["weights"], abs=1e-6)
        assert whole["losses"] == pytest.approx(one["losses"], abs=1e-4)
        assert rest["seen"] == whole["seen"][19:]  # checkpoint-7: an epoch of 5 steps, and 2 steps of 3
        assert rest["weights"] == whole["weights"]
