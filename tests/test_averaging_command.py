"""`hf-transfer average` and `--seeds`: what the command line hands on; the work itself is tested elsewhere."""

import sys
import types

import pytest

from hf_transfer import cli


@pytest.fixture
def calls(monkeypatch) -> list:
    seen = []

    def note(name):
        return lambda *words, **settings: seen.append((name, words, settings))

    ensemble = types.SimpleNamespace(soup=note("soup"), wise_ft=note("wise_ft"))
    monkeypatch.setitem(sys.modules, "hf_transfer.ensemble", ensemble)
    monkeypatch.setitem(sys.modules, "hf_transfer.seeds", types.SimpleNamespace(run_seeds=note("seeds")))
    monkeypatch.setitem(sys.modules, "hf_transfer.runner", types.SimpleNamespace(run=note("run")))
    return seen


def test_a_soup_of_as_many_runs_as_are_named(calls):
    assert cli.main("average a b c --method greedy --output_dir out --overwrite".split()) == 0
    settings = dict(method="greedy", overwrite=True, trust_remote_code=False)
    assert calls == [("soup", (["a", "b", "c"], "out"), settings)]


def test_wise_ft_with_its_alphas_and_a_second_test_set(calls):
    words = "average a b --method wise_ft --alphas 0,0.5,1 --data.test far.csv --output_dir out"
    assert cli.main(words.split()) == 0
    ((name, runs, settings),) = calls
    assert (name, runs) == ("wise_ft", ("a", "b", "out"))
    assert settings["alphas"] == (0.0, 0.5, 1.0) and settings["second_test"] == "far.csv"
    calls.clear()
    assert cli.main("average a b --method wise_ft --output_dir out".split()) == 0
    assert "alphas" not in calls[0][2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("average a --output_dir out", "name the output folders of two runs or more"),
        ("average a b", "--output_dir is missing"),
        ("average a b --output_dir out --alphas 0,1", "--alphas goes with --method wise_ft"),
        (
            "average a b c --method wise_ft --output_dir out",
            "takes two runs, the start and the fine-tuned one; found 3",
        ),
        ("average a b --method wise_ft --alphas 0,x --output_dir out", "--alphas is '0,x'"),
        ("average a b --method mean --output_dir out", "--method is 'mean'"),
        ("run text/lstm_frozen --demo --keep_all", "--keep_all says what stays of several seeds; add --seeds COUNT"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(words, message, calls, capsys):
    assert cli.main(words.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and calls == []


def test_several_seeds(calls):
    assert cli.main("run text/lstm_frozen --demo --seeds 3 --keep_all --output_dir out --seed 7".split()) == 0
    ((name, words, settings),) = calls
    assert name == "seeds" and words[1:] == ("out", 3)
    assert settings["keep_all"] and settings["seed"] == 7 and settings["name"] == "text/lstm_frozen"
