"""The benchmark across domains: cells that are kept, choices without target labels, a page of what is there."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # its files are scripts beside one another, no package

import adaptation  # noqa: E402
from domains import cells, page, summary  # noqa: E402
from domains.pairs import NETS, PAIRS, by_length  # noqa: E402
from mini import make_texts, write_csv  # noqa: E402

from hf_transfer.adaptation.cheap import CRITERIA, WITHOUT_LABELS  # noqa: E402


def test_short_rows_are_source_and_long_ones_target():
    rows = [("x" * length, "ham") for length in range(1, 401)]
    source, target = by_length(rows * 2, 0)
    assert sorted(source + target) == sorted(rows)
    lengths = [np.array([len(text) for text, _ in part]) for part in (source, target)]
    assert lengths[0].mean() < 150 < 250 < lengths[1].mean()
    assert (lengths[0] > 350).any() and (lengths[1] < 50).any()  # importance weights need an overlap
    assert by_length(rows, 0) == (source, target) != by_length(rows, 1)


def test_labels_are_hidden_but_for_a_few_of_each_class():
    labels = np.repeat([0, 1, 2], [50, 30, 4])
    found = cells.some_labels(labels, 5, 0)
    assert np.bincount(found[found >= 0]).tolist() == [5, 5, 4]
    assert (found[found >= 0] == labels[found >= 0]).all()
    assert not np.array_equal(found, cells.some_labels(labels, 5, 1))


def test_every_pair_is_a_recipe():
    from hf_transfer import Recipe

    for pair in PAIRS.values():
        for net in NETS:
            assert isinstance(pair.recipe(net, 0), Recipe)
            told = cells.settings(pair.name, net, 0)
            assert "/" not in told["backbone"]["checkpoint"] and "data" not in told


# ---------------------------------------------------------------------------------------------------------------------
# From cells to words


def cell(**values) -> dict:
    """By method its accuracy and its criterion; source-only is the baseline."""
    base, values["as_trained"] = values["source_only"][0], (values["source_only"][0] - 0.05, 9.0)

    def verdict(gain):
        return "helped" if gain > 0.05 else "negative transfer" if gain < -0.05 else "no difference"

    return {
        "test": {
            name: {"value": one, "baseline": base, "verdict": verdict(one - base)} for name, (one, _) in values.items()
        },
        "criteria": {name: dict.fromkeys(CRITERIA, one) for name, (_, one) in values.items() if name != "as_trained"},
        "seconds": {name: 1.5 for name in values if name != "as_trained"},
        "a_distance": {"raw": 2.0, "scale": 1.0, "coral": 0.5},
        "rows": {"source": 1000, "target": 500, "test": 100, "width": 8},
        "settings": {},
    }


def content() -> dict:
    first = cell(source_only=(0.5, 1.0), scale=(0.7, 3.0), coral=(0.8, 2.0), target_only=(0.9, 9.0))
    second = cell(source_only=(0.4, 1.0), scale=(0.3, 2.0), coral=(0.6, 3.0), target_only=(0.8, 9.0))
    facts = dict(device_name="A CPU", device="cpu", cores=2, threads=2, torch="2", transformers="5", timm="1")
    return {"cells": {"mnist-scikit/tuned/0": first, "mnist-scikit/tuned/1": second}, "environment": facts}


def test_the_choice_is_by_the_criterion_and_never_a_method_that_reads_labels():
    made = summary.choice(content(), "mnist-scikit", "tuned", lambda one: summary.chosen(one, "mutual_information"))
    assert made["names"] == {0: "scale", 1: "coral"}
    assert made["accuracy"] == pytest.approx(0.65)
    assert made["closed"] == pytest.approx((0.65 - 0.45) / (0.85 - 0.45))
    assert made["verdicts"] == {"helped": 2}
    best = summary.choice(content(), "mnist-scikit", "tuned", summary.oracle)
    assert best["names"] == {0: "coral", 1: "coral"}


def test_the_page_says_what_the_cells_say(tmp_path):
    some = content()
    page.write_page(some, tmp_path)
    text = (tmp_path / "adaptation.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("- fine-tuned on the source"))
    assert "source-only 0.4500, chosen (scale, coral) 0.6500: 50% of the gap" in line
    assert "of 2 seeds helped in 2" in line
    assert "| scale | 0.5000 ± 0.2828 | 1.5 |" in text and "| target only (reads target labels) | 0.8500" in text
    assert "| oracle: the best on the test rows | 0.7000, +62% (coral) |" in text
    assert "| before | 2.00 |" in text and "| after coral | 0.50 |" in text
    assert "proves little" not in text and "## Time" not in text
    for name in ("source_only", "as_trained"):
        some["cells"]["mnist-scikit/tuned/0"]["test"][name]["value"] = 0.2
    some["time"] = dict(rows=10_000, width=384, extract_s=5.0, cheap_s=60.0, epoch_s=64.0)
    text = page.page(some)
    assert "proves little" in text and "That is not less than an epoch." in " ".join(text.split())
    with pytest.raises(SystemExit, match="nothing has been measured"):
        page.write_page({"cells": {}}, tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


@pytest.fixture
def mini_pair(mini_text, tmp_path, monkeypatch):
    """A pair of mini domains and a results file of the test's own."""
    from hf_transfer import FrozenFeatures, LinearHead, Recipe, TextBackbone, TextClassification

    specs = tuple(
        TextClassification(str(write_csv(tmp_path / f"{name}.csv", ["text", "label"], make_texts(90, seed))))
        for seed, name in enumerate(("source", "target"))
    )
    recipe = Recipe("mini", specs[0], TextBackbone(str(mini_text), max_length=32), LinearHead(), FrozenFeatures())
    pair = SimpleNamespace(name="mini", recipe=lambda net, seed: recipe, specs=lambda seed: specs)
    monkeypatch.setattr(cells, "PAIRS", {"mini": pair})
    path = tmp_path / "adaptation.json"
    monkeypatch.setattr(adaptation, "write", lambda content: cells.write(content, path))
    return path


def test_a_cell_is_measured_and_kept(mini_pair, capsys, monkeypatch):
    found = {"cells": {}}
    adaptation.carry_out(found, [("mini", "frozen", 0)])
    assert cells.read(mini_pair) == found
    one = found["cells"]["mini/frozen/0"]
    assert set(one["seconds"]) == set(one["criteria"]) == {*WITHOUT_LABELS, "target_only", "tradaboost"}
    assert set(one["test"]) == {*one["seconds"], "as_trained"}
    # A frozen net's head is the same fit, so that nothing can be told between the two.
    assert one["test"]["as_trained"]["value"] == one["test"]["source_only"]["value"]
    assert one["rows"] == {"source": 64, "target": 64, "test": 18, "width": 16}
    assert set(one["a_distance"]) == {"raw", "scale", "coral"}
    assert "mini/frozen/0: source_only 0." in capsys.readouterr().out
    monkeypatch.setattr(adaptation, "measure", lambda *_: pytest.fail("measured again"))
    adaptation.carry_out(found, [("mini", "frozen", 0)])
    one["settings"]["labelled"] = 3
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        adaptation.carry_out(found, [("mini", "frozen", 0)])
