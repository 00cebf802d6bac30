"""The comparison of accuracies: seed by seed, what is missing is measured, what is there is kept."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))  # its files are scripts, no package

import finetune_accuracy as compared  # noqa: E402

SCORES = {"Trainer": {1: 0.90, 2: 0.80, 3: 0.70}, "ours": {1: 0.91, 2: 0.82, 3: 0.73}}


def test_missing_runs_are_measured_and_paired_by_seed(tmp_path, monkeypatch, capsys):
    ran = []

    def side(name: str):
        def measure(seed: int) -> dict:
            ran.append((name, seed))
            return {"accuracy": SCORES[name][seed], "loss": 1 - SCORES[name][seed], "per_s": 10.0, "import_s": 1.0}

        return measure

    monkeypatch.setattr(compared, "RESULTS", tmp_path / "found.json")
    monkeypatch.setattr(compared, "SIDES", {name: side(name) for name in SCORES})
    for words in (["--seeds", "1", "--sides", "Trainer"], ["--seeds", "1", "2", "3"]):
        monkeypatch.setattr(sys, "argv", ["finetune_accuracy.py", *words])
        compared.main()
    assert ran == [("Trainer", 1), ("ours", 1), *((name, seed) for seed in (2, 3) for name in SCORES)]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["runs"]["ours"]["2"] == {"accuracy": 0.82, "loss": pytest.approx(0.18)}
    accuracy = found["differences"]["ours"]["accuracy"]
    # 0.02 +- t(0.975, 2) * 0.01 / sqrt(3), t = 4.3027
    assert accuracy == {"mean": 0.02, "low": -0.00484, "high": 0.04484, "seeds": 3}
    assert "ours less Trainer, accuracy: +0.0200 (-0.0048 to +0.0448), 3 seeds" in capsys.readouterr().out
