"""Models on the Hub as a beginning, by the real client from a server on 127.0.0.1: ours, and those that bring code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer, User
from mini import make_texts, mini_text_checkpoint, write_csv

from hf_transfer import FrozenFeatures, LSTMHead, Recipe, TextBackbone, TextClassification, load, run
from hf_transfer.hub_push import pushable
from hf_transfer.scrub import public_files

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_canaryToken0123456789"

pytestmark = pytest.mark.hub

# The client reads its settings once, when it is imported, so it lives in a process of its own.
WORKER = """
import contextlib, io, json, sys
from hf_transfer.cli import main

answers = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    answers.append([code, out.getvalue(), err.getvalue()])
print("ANSWERS" + json.dumps(answers))
"""


@pytest.fixture
def hub():
    with HubServer({TOKEN: User("alice")}) as server:
        yield server


def give(hub: HubServer, cwd: Path, *commands: list, token: str | None = None) -> list[tuple[int, str, str]]:
    """Run command lines in one fresh process with an empty cache; returns exit status and what each one printed."""
    env = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    env |= {**hub.env(token, cwd / "hf"), "PYTHONPATH": str(ROOT)}
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", WORKER, words], capture_output=True, text=True, cwd=cwd, env=env, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("ANSWERS")[1])


def test_a_pushed_model_is_where_the_next_one_begins(hub, tmp_path, mini_text, reviews):
    recipe = Recipe(
        summary="first",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LSTMHead(4, 1),
        strategy=FrozenFeatures(),
        training=dict(max_steps=3),
    )
    out = tmp_path / "out"
    run(recipe, out, name="text/first")
    files = public_files(out, pushable(out))
    files = {name: one if isinstance(one, bytes) else one.read_bytes() for name, one in files.items()}
    files = {name: b"raise SystemExit('ran')" if name.endswith(".py") else one for name, one in files.items()}
    commit = hub.create("alice/first", private=True).add("first", files)
    new = write_csv(tmp_path / "new.csv", ["body", "stars"], make_texts(80, seed=9))
    rows = ["--data.train", new, "--data.label", "stars", "--max_steps", "1"]
    still = ["--learning_rate", "0"]
    encoder, further, by_recipe, refused, absent = give(
        hub,
        tmp_path,
        ["run", "text/lstm_frozen", "--backbone.checkpoint", "alice/first", "--backbone.max_length", "32",
         "--head.hidden_size", "2", *rows, "--output_dir", "encoder"],
        ["run", out, "--start_from", f"alice/first@{commit.oid}", *rows, *still, "--output_dir", "further"],
        ["run", "hub://alice/first", "--start_from", "alice/first", *rows, *still, "--output_dir", "by_recipe"],
        ["run", out, "--start_from", "alice/first", *rows, "--head.hidden_size", "8", "--output_dir", "refused"],
        ["run", out, "--start_from", "alice/absent", *rows, "--output_dir", "refused"],
        token=TOKEN,
    )  # fmt: skip
    for code, _, err in (encoder, further, by_recipe):
        assert code == 0, err
    assert "backbone: the encoder of a finished text/first run, without its lstm head" in encoder[1]
    texts = [text for text, _ in make_texts(6, seed=3)]
    before = [row.probabilities for row in load(out).predict(texts)]
    for folder in ("further", "by_recipe"):
        after = [row.probabilities for row in load(tmp_path / folder).predict(texts)]
        assert after == [pytest.approx(row, abs=1e-6) for row in before]
        results = json.loads((tmp_path / folder / "results.json").read_text())
        assert results["start_from"] == {"source": "alice/first", "revision": commit.oid}
    assert not list((tmp_path / "hf").rglob("hub/**/*.py"))  # code is not even downloaded
    assert refused[0] == 2 and "`run_recipe.py hub://alice/first --start_from alice/first --data.train" in refused[2]
    assert absent[0] == 2 and "alice/absent: neither a folder" in absent[2]
    for _, out_text, err in (encoder, further, by_recipe, refused, absent):
        assert TOKEN not in out_text + err
    assert refused[2].count("\n") == absent[2].count("\n") == 1


def test_code_is_run_as_it_stood_at_the_pinned_commit(hub, tmp_path, reviews):
    folder = mini_text_checkpoint(tmp_path / "planted")
    names = {
        "AutoConfig": "configuration_planted.PlantedConfig",
        "AutoModelForSequenceClassification": "modeling_planted.PlantedForSequenceClassification",
    }
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "planted", "auto_map": names}))
    mark = "import pathlib, transformers\npathlib.Path({place!r}).open('a').write('{state} ')\n"
    bodies = {
        "configuration_planted.py": "class PlantedConfig(transformers.BertConfig):\n    model_type = 'planted'\n",
        "modeling_planted.py": (
            "from .configuration_planted import PlantedConfig\n"
            "class PlantedForSequenceClassification(transformers.BertForSequenceClassification):\n"
            "    config_class = PlantedConfig\n"
        ),
    }
    repo = hub.create("mallory/planted")
    for state in ("read", "changed"):
        first = mark.format(place=str(tmp_path / "ran"), state=state)
        code = {name: (first + body).encode() for name, body in bodies.items()}
        repo.add(state, {path.name: path.read_bytes() for path in folder.iterdir()} | code)
    pinned = repo.commits[1].oid
    base = ["run", "text/full_finetune", "--backbone.checkpoint", "mallory/planted", "--backbone.max_length", "32",
            "--data.train", reviews, "--data.label", "stars", "--max_steps", "1", "--overwrite"]  # fmt: skip
    without, unpinned, branch = give(
        hub,
        tmp_path,
        [*base, "--output_dir", "never"],
        [*base, "--output_dir", "never", "--trust_remote_code"],
        [*base, "--output_dir", "never", "--trust_remote_code", "--backbone.revision", "main"],
    )
    assert not (tmp_path / "ran").exists()
    assert without[0] == 2 and "pass --trust_remote_code --backbone.revision COMMIT to run it" in without[2]
    for code, _, err in (unpinned, branch):
        assert code == 2 and "full hash of the commit whose code was read" in err and err.count("\n") == 1
    words = ["--output_dir", "out", "--trust_remote_code", "--backbone.revision", pinned]
    (trusted,) = give(hub, tmp_path, [*base, *words])
    assert trusted[0] == 0, trusted[2]
    assert set((tmp_path / "ran").read_text().split()) == {"read"}
