"""A probe on two ranks: the first times and decides, and both batch by its word."""

import json

import pytest
from mini import make_texts, write_csv
from ranks import launched

SCRIPT = """
import json, os, sys
from hf_transfer import FrozenFeatures, LinearHead, Recipe, TextBackbone, TextClassification, run
from hf_transfer.features import budget
from hf_transfer.features.extractor import Extractor

folder, checkpoint = sys.argv[1:]
rank, timed, taken = int(os.environ["RANK"]), [], []

def rates(batches, *_):  # each rank would rather have another size
    timed.append(sorted(batches))
    return {size: 900.0 if size == (1024, 8192)[rank] else 100.0 for size in batches}

rebatch = Extractor._rebatch
def watched(self, source, dtype):
    rebatch(self, source, dtype)
    taken.append([self.budget, len(source.batches)])

budget.time_budgets, Extractor._rebatch = rates, watched
recipe = Recipe(
    "mini", TextClassification(f"{folder}/rows.csv"), TextBackbone(checkpoint, max_length=32), LinearHead(fit="sgd"),
    FrozenFeatures(), training=dict(max_steps=2, per_device_train_batch_size=4),
)
result = run(recipe, f"{folder}/out", probe_budget=True)
with open(f"{folder}/{rank}.json", "w") as file:
    json.dump({"timed": timed, "taken": taken, "budget": result.data["budget"]["taken"]}, file)
from hf_transfer.processes import part
part()
"""


@pytest.mark.distributed
def test_the_first_rank_decides_for_all(tmp_path, mini_text):
    write_csv(tmp_path / "rows.csv", ["text", "label"], make_texts(401))
    (tmp_path / "ranks.py").write_text(SCRIPT)
    done = launched(2, tmp_path / "ranks.py", tmp_path, mini_text, HF_TRANSFER_CACHE=str(tmp_path / "cache"))
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["timed"] == [[1024, 2048, 4096, 8192, 16384]] and second["timed"] == []
    assert first["taken"] == second["taken"] and len(first["taken"]) == 2  # train and validation
    assert {size for size, _ in first["taken"]} == {first["budget"]} == {second["budget"]} == {1024}
    assert done.stdout.count("  budget ") == 1
