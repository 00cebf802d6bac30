"""The comparison of strategies: fair draws, learning rates that the test rows do not choose, cells that are kept."""

import copy
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # its files are scripts beside one another, no package

import strategies  # noqa: E402
from labels import cells, draws, page, summary  # noqa: E402
from labels.draws import draw  # noqa: E402
from labels.methods import METHODS, SETS, SIZES  # noqa: E402

CLASSES = [0] * 400 + [1] * 190


def of(rows, label: int) -> list[int]:
    return [row for row in rows if CLASSES[row] == label]


@pytest.mark.parametrize("size", [8, 32, 128])
def test_a_draw_is_balanced_and_train_and_validation_never_meet(size):
    drawn = draw(CLASSES, size, 3)
    assert Counter(CLASSES[row] for row in drawn.train) == {0: size, 1: size}
    assert Counter(CLASSES[row] for row in drawn.validation) == {0: min(size, 40), 1: min(size, 40)}
    assert not set(drawn.train) & set(drawn.validation)


def test_all_labels_are_all_rows_and_keep_the_shares_of_the_classes():
    drawn = draw(CLASSES, "all", 3)
    assert sorted(drawn.train + drawn.validation) == list(range(590))
    assert (len(of(drawn.validation, 0)), len(of(drawn.validation, 1))) == (40, 19)


def test_fewer_labels_are_a_part_of_more_and_seeds_differ():
    small, large = draw(CLASSES, 8, 0), draw(CLASSES, 32, 0)
    assert set(small.train) < set(large.train) and set(small.validation) < set(large.validation)
    assert draw(CLASSES, 8, 0) == small
    assert len(set(small.train) & set(draw(CLASSES, 8, 1).train)) < 8


def test_too_few_rows_of_a_class_are_told():
    with pytest.raises(SystemExit, match="class 1 has 20 rows; 8 for train and 40|class 1 has 20 rows; 128 for train"):
        draw([0] * 400 + [1] * 20, 128, 0)


# ---------------------------------------------------------------------------------------------------------------------
# From cells to words


MACHINE = dict(device_name="A CPU", device="cpu", cores=2, threads=1, torch="2", transformers="5", timm="1")


def cell(accuracy: float, loss: float = 0.1) -> dict:
    scores = {"accuracy": accuracy, "macro_f1": accuracy - 0.1, "loss": loss}
    return {
        "test": scores, "validation": scores, "majority_class": 0.5, "trainable": 10, "total": 100,
        "rows": {"train": 16, "validation": 16, "test": 50}, "train_s": 1.0, "run_s": 2.0, "cpu_s": 3.0,
        "environment": MACHINE,
        "settings": {"training": {"learning_rate": 1e-3}, "strategy": {"kind": "FullFineTune"}},
    }  # fmt: skip


def content(**by_method) -> dict:
    """Scores over the seeds at 8 labels, texts."""
    cells = {
        f"text/{method}/8/{seed}": cell(value)
        for method, values in by_method.items()
        for seed, value in values.items()
    }
    return {"grid": {}, "cells": cells, "rule": "the lowest loss"}


def test_a_paired_difference_is_students_interval():
    from scipy.stats import ttest_rel

    ours, others = {0: 0.9, 1: 0.8, 2: 0.95, 7: 0.1}, {0: 0.7, 1: 0.75, 2: 0.8, 5: 0.9}
    found = summary.paired(ours, others)
    exact = ttest_rel([0.9, 0.8, 0.95], [0.7, 0.75, 0.8]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert found.mean == pytest.approx((0.2 + 0.05 + 0.15) / 3)
    assert summary.paired({0: 0.9}, {0: 0.8}) is None


def test_who_wins_is_read_from_the_cells():
    found = summary.column(
        content(
            linear_probe={0: 0.80, 1: 0.82, 2: 0.84},
            full={0: 0.90, 1: 0.921, 2: 0.94},  # always about 0.1 more
            lora={0: 0.95, 1: 0.86, 2: 0.96},  # the best on average, and uneven
            l2_sp={0: 0.70, 1: 0.721, 2: 0.74},
            lp_ft={0: 0.80, 1: 0.83, 2: 0.83},
        ),
        "text",
        8,
    )
    assert found.best == "lora" and found.mean == pytest.approx((0.95 + 0.86 + 0.96) / 3)
    assert "full" in found.level and "l2_sp" not in found.level
    verdicts = {name: one.verdict for name, one in found.against.items()}
    assert verdicts == {"full": "better", "lora": "undecided", "l2_sp": "worse", "lp_ft": "undecided"}


def test_the_page_says_what_the_cells_say(tmp_path):
    some = content(linear_probe={0: 0.80, 1: 0.82}, full={0: 0.90, 1: 0.92}, lora={0: 0.7, 1: 0.72})
    page.write_page(some, tmp_path)
    text = (tmp_path / "strategies.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("- 8 labels, 2 draws: "))
    assert "best on average is full fine-tuning, 0.9100" in line and "clearly above all others" in line
    assert "clearly better than the linear probe: full fine-tuning" in line
    assert "clearly worse than the linear probe: LoRA" in line
    assert "| full fine-tuning | **0.9100 ± 0.0141** | 10 | 3.0 |" in text
    assert "| full fine-tuning | +10.0 (+10.0 to +10.0) |" in text
    assert "| linear probe |  |  |  | 0 | 0 | 1 |" in text
    assert "In no column clearly better than full fine-tuning: linear probe, LoRA." in text
    assert "LoRA 0.001 (texts)" in text and "8 labels 16 and 16 (2 draws)" in text
    assert "- A CPU (cpu), 2 cores, 1 thread; torch 2, transformers 5, timm 1.\n" in text
    picture = (tmp_path / "strategies.svg").read_text()
    assert "labels per class" in picture and "full fine-tuning" in picture
    page.write_page(some, tmp_path)
    assert (tmp_path / "strategies.svg").read_text() == picture


def test_a_collapse_and_what_another_rate_gives_are_told(tmp_path):
    some = content(linear_probe={0: 0.8, 1: 0.82}, lora={0: 0.5, 1: 0.9})
    some["cells"]["text/lora/8/0"]["test"]["accuracy"] = 0.333333
    some["cells"]["text/lora/8/0"]["majority_class"] = 1 / 3 - 4e-7
    some["other_rates"] = {"text/lora/8/0/0.0001": cell(0.93), "text/lora/8/7/0.0001": cell(0.94)}
    page.write_page(some, tmp_path)
    text = (tmp_path / "strategies.md").read_text()
    assert "no better than the largest class: LoRA in 1." in text
    assert "| texts | LoRA | 8 | 0 | 0.0001 | 0.9300 | 0.001 | 0.3333 |" in text
    assert "| texts | LoRA | 8 | 7 | 0.0001 | 0.9400 |  |  |" in text
    assert "best on average is linear probe, 0.8100" in text  # they have no part in the comparison


def test_one_draw_and_missing_cells_give_a_page_without_verdicts(tmp_path):
    some = content(linear_probe={0: 0.8}, full={0: 0.9})
    some["cells"]["image/full/32/0"] = cell(0.6)
    page.write_page(some, tmp_path)
    text = (tmp_path / "strategies.md").read_text()
    assert "| full fine-tuning | **0.9000** |" in text and "±" not in text.split("## How")[0].replace("mean ±", "")
    with pytest.raises(SystemExit, match="nothing has been measured"):
        page.write_page({"cells": {}}, tmp_path)


def test_a_draw_that_a_method_lacks_is_left_out():
    some = content(linear_probe={0: 0.8, 1: 0.82, 2: 0.2}, full={0: 0.9, 1: 0.92}, lora={1: 0.7, 0: 0.7, 3: 0.1})
    assert {name: list(summary.cells_of(some, "text", name, 8)) for name in ("linear_probe", "full", "lora")} == {
        "linear_probe": [0, 1],
        "full": [0, 1],
        "lora": [0, 1],
    }
    assert summary.column(some, "text", 8).mean == pytest.approx(0.91)
    some["cells"]["text/full/32/0"] = cell(0.9)  # the others have no cell there yet
    assert summary.measured(some, "text")[1] == [8]
    apart = content(linear_probe={0: 0.8}, full={1: 0.9})
    assert summary.measured(apart, "text") == ([], []) and summary.column(apart, "text", 8) is None


def test_times_of_two_machines_are_told_apart():
    some = content(linear_probe={0: 0.8, 1: 0.8}, full={0: 0.9, 1: 0.9})
    other = {**cell(0.7), "environment": {**MACHINE, "device_name": "Another CPU"}}
    some["cells"] |= {f"image/{name}/all/{seed}": other for name in ("linear_probe", "full") for seed in (0, 1)}
    text = page.page(some)
    seconds = f"{cell(0.7)['cpu_s']:.1f}"
    assert f"{seconds} A |" in text and f"{seconds} B |" in text and "A B" not in text
    some["cells"]["text/full/8/1"] = {**cell(0.9), "environment": other["environment"]}
    assert f"{seconds} A B |" in page.page(some)
    assert "- Machine A: A CPU (cpu), 2 cores, 1 thread; torch 2, transformers 5, timm 1. From it: texts" in text
    assert "- Machine B: Another CPU (cpu)" in text and "From it: images with all labels." in text
    assert "Seconds compare on one machine only" in text


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


def test_every_method_is_a_recipe_at_every_size():
    from hf_transfer import Recipe

    for method, kind, size in product(METHODS.values(), SETS, SIZES):
        if kind in method.sets and method.name != "few_shot":  # needs an extra
            rate = next(iter(method.rates.get(kind, ())), None)
            data = draws.data_of(kind, 8, 0)
            assert isinstance(method.recipe(kind, size, rate, data), Recipe)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A results file of the test's own, and measuring that only counts; settings are the learning rate."""
    calls = []

    def measure(kind, method, size, seed, rate, *, tuning=False):
        calls.append((kind, method, size, seed, rate, tuning))
        return {**cell(0.9, loss=abs((rate or 0) - 3e-4)), "settings": {"rate": rate}}

    path = tmp_path / "strategies.json"
    monkeypatch.setattr(strategies, "measure", measure)
    monkeypatch.setattr(strategies, "settings", lambda kind, method, size, rate, data: {"rate": rate})
    monkeypatch.setattr(strategies, "data_of", lambda *_: None)
    monkeypatch.setattr(strategies, "read", lambda: cells.read(path))
    monkeypatch.setattr(strategies, "keep", lambda *told, **facts: cells.keep(*told, path=path, **facts))
    monkeypatch.setattr(page, "write_page", lambda content: None)
    return calls


def measure_some(monkeypatch, *words) -> None:
    asked = ["strategies.py", "--only", "text", "--methods", "full", "linear_probe", "--seeds", "0", "--labels", "8"]
    monkeypatch.setattr(sys, "argv", [*asked, *words])
    strategies.main()


def test_learning_rates_are_chosen_first_and_on_draws_of_their_own(kept, monkeypatch):
    measure_some(monkeypatch)
    rates = METHODS["full"].rates["text"]
    grid = [("text", "full", 32, seed, rate, True) for seed in (100, 101, 102) for rate in rates]
    assert kept == [*grid, ("text", "full", 8, 0, 3e-4, False), ("text", "linear_probe", 8, 0, None, False)]
    tried = strategies.read()["grid"]
    assert len(tried) == 9 and not any("test" in one for one in tried.values())


def test_a_rate_that_collapses_on_one_draw_is_not_chosen():
    rates = METHODS["full"].rates["text"]
    scores = {100: (0.8, 0.9, 1.0), 101: (0.8, 0.9, 1.0), 102: (0.8, 0.9, 0.5)}

    def grid(scores, losses=(0.3, 0.2, 0.1)) -> dict:
        return {
            cells.key("text", "full", 32, seed, rate): {"validation": {"accuracy": accuracy, "loss": loss}}
            for seed, those in scores.items()
            for rate, accuracy, loss in zip(rates, those, losses, strict=True)
        }

    assert strategies.chosen_rate({"grid": grid(scores)}, "text", "full") == rates[1]
    alike = dict.fromkeys(scores, (0.9, 0.9, 0.8))
    assert strategies.chosen_rate({"grid": grid(alike)}, "text", "full") == rates[1]


def test_what_was_measured_is_kept_and_other_settings_are_measured_anew(kept, monkeypatch):
    measure_some(monkeypatch)
    done = len(kept)
    measure_some(monkeypatch)
    assert len(kept) == done
    changed = strategies.read()
    before = copy.deepcopy(changed["cells"]["text/linear_probe/8/0"])
    strategies.keep("cells", "text/full/8/0", {**changed["cells"]["text/full/8/0"], "settings": {"rate": 1}})
    measure_some(monkeypatch)
    assert kept[done:] == [("text", "full", 8, 0, 3e-4, False)]
    assert strategies.read()["cells"]["text/linear_probe/8/0"] == before


def test_what_another_process_measured_meanwhile_is_kept(kept, monkeypatch):
    counted = strategies.measure

    def measure(kind, method, size, seed, rate, *, tuning=False):
        strategies.keep("cells", "image/full/8/0", cell(0.5))
        return counted(kind, method, size, seed, rate, tuning=tuning)

    monkeypatch.setattr(strategies, "measure", measure)
    measure_some(monkeypatch)
    assert set(strategies.read()["cells"]) == {"image/full/8/0", "text/full/8/0", "text/linear_probe/8/0"}


@pytest.mark.slow
def test_a_cell_is_measured_by_the_package(capfd):
    found = cells.measure("image", "linear_probe", 8, 0, None)
    assert found["rows"] == {"train": 80, "validation": 80, "test": 1000}
    assert 0.5 < found["test"]["accuracy"] < 1 and found["trainable"] == 12_810
    assert found["settings"] == cells.settings("image", "linear_probe", 8, None, draws.data_of("image", 8, 0))
    assert found["environment"]["device_name"] and found["environment"]["threads"] >= 1
    assert "/" not in found["settings"]["backbone"]["checkpoint"]
    assert capfd.readouterr() == ("", "")
