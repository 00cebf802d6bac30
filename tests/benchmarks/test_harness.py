"""The benchmark harness: figures that are right, results that are kept, rows that are what they claim to be."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # its files are scripts beside one another, no package

import harness  # noqa: E402
import report  # noqa: E402
import run as benchmark_run  # noqa: E402
import workload  # noqa: E402
from cases import finetune  # noqa: E402
from cases import growth as growth_case  # noqa: E402
from cases import heads as heads_case  # noqa: E402
from sizes import DEFAULT, SMOKE  # noqa: E402

MACHINE = {
    "device": "cpu", "device_name": "A CPU", "cores": 2, "threads": 2, "fast_bf16": True, "torch": "2.15.0",
    "transformers": "5.23.0", "timm": "1.0.31", "sentence_transformers": "6.2.0",
}  # fmt: skip


def speedup(target=4.5, values=(2.0, 8.0, 5.0)):
    return harness.compare(
        "text features", [100 * value for value in values], [100.0] * len(values), unit="texts/s",
        rival_name="somebody", higher_is_better=True, target=target,
    )  # fmt: skip


def entry(*rows, notes=("a note",), **machine):
    return {"rows": list(rows), "notes": list(notes), "environment": MACHINE | machine}


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def test_sides_take_turns_and_turn_round():
    calls = []
    figures = harness.alternate(
        {
            "a": lambda number: calls.append(("a", number)) or {"s": number},
            "b": lambda n: calls.append(("b", n)) or {},
        },
        3,
    )
    assert calls == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert harness.column(figures["a"], "s") == [0, 1, 2]


def test_a_ratio_is_the_median_over_the_pairs():
    # The machine slows down to a tenth in the second pair: within each pair we are twice as fast.
    row = harness.compare(
        "x", [10.0, 1.0, 9.0], [5.0, 0.5, 4.5], unit="rows/s", rival_name="y", higher_is_better=True, target=3
    )
    assert (row["value"], row["interval"], row["ours_median"], row["rival_median"]) == (2.0, [2.0, 2.0], 9.0, 4.5)
    assert harness.met(row) is False and harness.met(row | {"target": 2.0}) is True


def test_speed_at_the_cost_of_accuracy_is_not_met():
    row = harness.compare("x", [9.0], [3.0], unit="rows/s", rival_name="y", higher_is_better=True, target=2.5)
    machine = {"device": "cpu", "fast_bf16": True}
    told = [report.verdict({**row, "less_accurate": worse}, machine) for worse in (False, True)]
    assert told == ["met", "not met: fast enough, but less accurate"]
    slow = {**row, "target": 4, "less_accurate": True}
    assert (report.verdict(slow, machine), harness.met({**row, "less_accurate": True})) == ("not met", False)


@pytest.mark.parametrize(
    ("differences", "worse"),
    [
        ([-0.005, -0.004, -0.006], True),  # on every seed
        ([-0.002, -0.0021, -0.0019], True),  # little, and surely
        ([-0.012, 0.001, 0.0], True),  # unsure, and too much
        ([-0.002, 0.001, -0.004], False),
        ([0.004, 0.005, 0.006], False),
    ],
)
def test_what_speaks_against_equal_accuracy(differences, worse):
    assert finetune.less_accurate(differences) is worse


def test_of_times_the_smaller_one_is_better():
    row = harness.compare("x", [2.0], [50.0], unit="s", rival_name="y", higher_is_better=False)
    assert row["value"] == 25.0 and harness.met(row) is None


def test_quantities_stay_under_their_target():
    assert harness.met(harness.quantity("x", [4.9], unit="%", target=5)) is True
    assert harness.met(harness.quantity("x", [5.0], unit="%", target=5)) is False
    assert harness.met(harness.quantity("x", [50.0], unit="%", target=50, target_is="at least")) is True


@pytest.mark.parametrize(("count", "low", "high"), [(9, 2, 8), (15, 4, 12), (25, 8, 18)])
def test_the_interval_of_a_median_is_the_sign_test_s(count, low, high):
    """Ranks as in tables of the sign test at 95% (Conover 1999, A3)."""
    values = [float(number) for number in range(count, 0, -1)]
    found = harness.median_interval(values)
    assert found[:2] == (low, high)
    assert 0.95 <= found[2] < 0.985


def test_the_interval_covers_as_often_as_it_says():
    import random

    draw = random.Random(0)
    inside = 0
    for _ in range(2000):
        low, high, confidence = harness.median_interval([draw.expovariate(1) for _ in range(9)])
        inside += low <= math.log(2) <= high
    assert inside / 2000 == pytest.approx(confidence, abs=0.015)


def test_three_values_give_their_range_and_say_how_sure_it_is():
    assert harness.median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0, 0.75)
    assert harness.median_interval([3.0]) == (3.0, 3.0, 0.0)


def test_the_exponent_of_a_power():
    assert harness.exponent([1e3, 1e4, 1e5], [3 * n**1.5 for n in (1e3, 1e4, 1e5)]) == pytest.approx(1.5)


# ---------------------------------------------------------------------------------------------------------------------
# Processes


def test_a_process_is_timed_and_its_memory_seen():
    child = "import time; x = bytearray(80_000_000); time.sleep(0.6)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print('{{\"a\": 1}}')"
    done = harness.run_process([sys.executable, "-c", code])
    assert done.figures() == {"a": 1}
    assert 0.6 < done.seconds < 20
    if Path("/proc/self/status").exists():
        assert 80e6 < done.peak_bytes < 200e6  # the child's, though the parent is what was started


def test_a_failed_process_says_its_last_words():
    with pytest.raises(harness.BenchmarkFailed, match="ended with status 3:\n(.|\n)*no such luck"):
        harness.run_process([sys.executable, "-c", "import sys; print('no such luck'); sys.exit(3)"])


def test_an_output_without_figures_is_a_failure():
    with pytest.raises(harness.BenchmarkFailed, match="no line of JSON"):
        harness.run_process([sys.executable, "-c", "print('hello')"]).figures()


def test_ctrl_c_leaves_no_process_behind(tmp_path):
    """The measured process has a session of its own, so that the harness has to end it."""
    mark = tmp_path / "pid"
    child = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"import sys; sys.path.append({str(BENCHMARKS)!r}); import harness\n"
    code += f"harness.run_process([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.time() + 30
    while not (mark.exists() and mark.read_text()) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


# ---------------------------------------------------------------------------------------------------------------------
# Results


def test_merging_replaces_one_entry_and_keeps_the_others(tmp_path):
    path = tmp_path / "new" / "speed.json"
    harness.merge(path, "a", {"rows": [1]})
    harness.merge(path, "b", {"rows": [2]})
    content = harness.merge(path, "a", {"rows": [3]})
    assert content == {"entries": {"a": {"rows": [3]}, "b": {"rows": [2]}}} == json.loads(path.read_text())
    assert [file.name for file in path.parent.iterdir()] == ["speed.json"]


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "speed.json"
    harness.merge(path, "a", {"rows": [1]})
    with pytest.raises(ValueError):
        harness.merge(path, "b", {"rows": [float("nan")]})
    assert json.loads(path.read_text()) == {"entries": {"a": {"rows": [1]}}}


def fake_benchmarks(monkeypatch, tmp_path, **functions):
    monkeypatch.setattr(benchmark_run, "BENCHMARKS", {name: (f, 1, 1) for name, f in functions.items()})
    monkeypatch.setattr(benchmark_run, "RESULTS", tmp_path)
    monkeypatch.setattr(benchmark_run, "environment", lambda: MACHINE)
    monkeypatch.setattr(benchmark_run, "device_kind", lambda device: "cpu-amx")
    monkeypatch.setattr(report, "plot", lambda *_: None)


def good(sizes):
    """Works."""
    return {"rows": [speedup()], "notes": [], "details": {"sizes": sizes.epochs}}


def broken(sizes):
    """Fails."""
    raise KeyError("features_s")


def stopped(sizes):
    """Is stopped."""
    raise KeyboardInterrupt


def test_a_failed_benchmark_loses_no_other(monkeypatch, tmp_path, capsys):
    fake_benchmarks(monkeypatch, tmp_path, first=good, second=broken, third=good)
    harness.merge(tmp_path / "speed-cpu-amx.json", "second", entry(speedup()))
    assert benchmark_run.run(["first", "second", "third"], full=False, smoke=False) == 1
    assert set(harness.read_results(tmp_path / "speed-cpu-amx.json")["entries"]) == {"first", "second", "third"}
    assert "second failed: 'features_s'" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_done(monkeypatch, tmp_path):
    fake_benchmarks(monkeypatch, tmp_path, first=good, second=stopped, third=good)
    assert benchmark_run.run(["first", "second", "third"], full=False, smoke=False) == 130
    assert set(harness.read_results(tmp_path / "speed-cpu-amx.json")["entries"]) == {"first"}
    assert "text features" in (tmp_path / "speed-cpu-amx.md").read_text()


def test_a_smoke_run_leaves_the_committed_results_alone(monkeypatch, tmp_path, capsys):
    fake_benchmarks(monkeypatch, tmp_path, first=good)
    assert benchmark_run.run(["first"], full=False, smoke=True) == 0
    assert list(tmp_path.iterdir()) == []
    written = Path(capsys.readouterr().out.strip().splitlines()[-1].removeprefix("results in "))
    content = harness.read_results(written)
    assert content["entries"]["first"]["details"] == {"sizes": SMOKE.epochs}


def test_the_plan_fits_forty_minutes(capsys):
    assert sum(minutes for _, minutes, _ in benchmark_run.BENCHMARKS.values()) <= 40
    benchmark_run.print_plan(list(benchmark_run.BENCHMARKS), full=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, *_ in lines] == [*benchmark_run.BENCHMARKS, "together"]
    assert float(lines[-1][2]) == sum(float(minutes) for _, _, minutes, *_ in lines[:-1])


# ---------------------------------------------------------------------------------------------------------------------
# The table


def test_the_table_says_what_was_measured_and_whether_it_is_enough():
    overhead = harness.quantity("overhead", [7.0, 3.0, 6.0], unit="%", target=5)
    content = {"entries": {"b": entry(speedup()), "a": entry(overhead, notes=["told"])}}
    lines = report.table(content, ["b", "a"]).splitlines()
    assert lines[2:4] == [
        "| text features | 500 texts/s | 100 texts/s (somebody) | 5 (2 to 8) | at least 4.5 | met |",
        "| overhead | 6% (3 to 7) |  |  | under 5% | not met |",
    ]
    assert lines[-2:] == ["- a note", "- told"]
    assert sum("A CPU (cpu), 2 cores, 2 threads, with fast bf16" in line for line in lines) == 1


def test_without_fast_bf16_the_table_says_so_and_judges_nothing():
    text = report.table({"entries": {"a": entry(speedup(), fast_bf16=False)}})
    assert "| at least 4.5 | measured |" in text and "met |" not in text
    assert "without fast bf16" in text and "here the table says what was measured" in text


def test_a_gpu_s_table_is_not_judged_by_the_cpu_s_targets():
    text = report.table({"entries": {"a": entry(speedup(), device="cuda", device_name="A GPU")}})
    assert "measured |" in text and "A GPU (cuda)" in text


def test_the_plot_shows_every_ratio_and_is_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib", reason="of the extra bench")
    content = {"entries": {"a": entry(speedup(), harness.quantity("share", [60.0], unit="%"))}}
    for name in ("one.svg", "two.svg"):
        report.plot(content, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert "somebody" in text and "share" not in text
    assert text == (tmp_path / "two.svg").read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(9873.4, "9,873"), (864.2, "864"), (4.567, "4.57"), (0.25, "0.25"), (0.01234, "0.0123"), (0, "0")],
)
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text


# ---------------------------------------------------------------------------------------------------------------------
# Rows


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows_of(path: Path) -> list[tuple[str, str]]:
    import csv

    with path.open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(("least", "most"), [(10, 60), (6, 12)])
def test_texts_have_as_many_tokens_as_they_should(least, most, cache):
    """By the tokenizer over whole texts, while they were made by adding up their words."""
    tables = workload.texts(300, least, most)
    for path, count in ((tables.train, 300), (tables.validation, 250), (tables.test, 500)):
        rows = rows_of(path)
        lengths = [len(one.ids) for one in workload.wordpiece().encode_batch([text for text, _ in rows])]
        assert len(rows) == count
        assert min(lengths) >= least and max(lengths) <= most
        assert max(lengths) == most and len(set(lengths)) > (most - least) // 2
        assert 0.05 < sum(label == "spam" for _, label in rows) / count < 0.3


def test_the_same_texts_every_time(cache, monkeypatch, tmp_path):
    first = workload.texts(50)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    second = workload.texts(50)
    assert first.train != second.train and first.train.read_bytes() == second.train.read_bytes()


def test_what_is_tested_was_never_trained_on(cache):
    parts = workload.split_messages(workload.sms_messages())
    tables = workload.texts(50)
    for part in ("train", "validation", "test"):
        words = {word for text, _ in parts[part] for word in text.split()}
        assert all(set(text.split()) <= words for text, _ in rows_of(getattr(tables, part))), part


def test_texts_are_made_once(cache):
    path = workload.texts(50).train
    path.write_text("text,label\nkept,ham\n")
    assert rows_of(workload.texts(50).train) == [("kept", "ham")]


def test_parts_share_no_message():
    parts = workload.split_messages([(f"text {number}", "ham") for number in range(100)] * 2)
    assert [len(rows) for rows in parts.values()] == [80, 8, 12]
    assert len(set().union(*parts.values())) == 100


def test_a_text_is_of_the_class_of_its_messages():
    messages = [("win a prize now", "spam"), ("see you at home", "ham")]
    words = {"spam": set("win a prize now".split()), "ham": set("see you at home".split())}
    made = workload.make_texts(messages, 20, workload.WordCounts(workload.wordpiece()), 6, 6, seed=0)
    assert {label for _, label in made} == {"ham", "spam"}
    for text, label in made:
        assert len(text.split()) == 4 and set(text.split()) <= words[label]


def test_digits_are_pictures_in_folders_of_their_class(cache):
    from PIL import Image

    paths = sorted(workload.digits(30).rglob("*.png"))
    assert len(paths) == 30 and {path.parent.name for path in paths} <= set("0123456789")
    assert Image.open(paths[0]).size == (28, 28)


# ---------------------------------------------------------------------------------------------------------------------
# What is made of the figures


def test_epochs_that_were_not_run_are_added(monkeypatch):
    output = json.dumps({"epoch_s": [9.0, 7.0], "import_s": 5.0, "accuracy": 0.9})
    monkeypatch.setattr(heads_case, "run_script", lambda *_: harness.Finished(30.0, 0, output))
    tables = workload.Tables(Path("a"), Path("b"), Path("c"))
    figures = heads_case._trainer_frozen(tables, DEFAULT, "linear", 32, 1e-3)  # 10 epochs, one of them run
    assert (figures["whole_s"], figures["without_imports_s"], figures["added_s"]) == (93.0, 88.0, 63.0)


def test_growth_compares_the_two_largest_sizes(monkeypatch):
    def our_run(recipe, flags):
        count = int(Path(flags[1]).parent.name.split("-")[1])
        return {"whole_s": 1.0, "peak_mb": 500 + count, "timing": {"features_s": count / 10, "total_s": float(count)}}

    monkeypatch.setattr(growth_case, "our_run", our_run)
    monkeypatch.setattr(
        workload, "growth", lambda count, short: workload.Tables(*(Path(f"texts-{count}-6-12") / n for n in "abc"))
    )
    rows = {row["what"]: row for row in growth_case.growth(SMOKE)["rows"]}
    ratio = rows["peak RssAnon, 200 rows over 100, token states"]
    assert ratio["value"] == pytest.approx(700 / 600, rel=1e-4) and ratio["target"] == 1.3
    assert rows["growth of extraction's time with rows, pooled: exponent"]["value"] == pytest.approx(1.0)
