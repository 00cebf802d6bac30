"""The whole circle once: train with --demo, push, load in a process that has plain transformers and an empty cache.

Two processes do it all: the author's, through the command line, and a stranger's. The Hub between them is a server on
127.0.0.1, spoken to by the real client; further cases and every failure are in the other files of this folder.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer, User
from stranger import WITHOUT_US

from hf_transfer import load_recipe
from hf_transfer.demo import demo_recipe

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_canaryToken0123456789"
STOCK, TIMM, LSTM = "alice/stock-text", "alice/digits", "alice/lstm"

AUTHOR = """
import json, sys
from hf_transfer import cli, load

runs, again = json.loads(sys.argv[1])
answers = {}
for repo_id, words, folder, inputs in runs:
    assert cli.main(["run", *words, "--output_dir", folder, "--push_to_hub", "--hub_model_id", repo_id]) == 0
    answers[repo_id] = [one.probabilities for one in load(folder).predict(inputs)]
assert cli.main(["run", *again]) == 0
print("ANSWERS" + json.dumps(answers))
"""

# transformers alone (and timm for images), from another folder; our package cannot be imported.
STRANGER = (
    WITHOUT_US
    + """
import json, sys
sys.path[:] = [entry for entry in sys.path if entry not in ("", sys.argv[2])]
from transformers import pipeline

answers = {}
for repo_id, revision, kind, trusted, inputs in json.loads(sys.argv[1]):
    # Code is run in the state that was looked at, and in no later one.
    pinned = {"revision": revision, "trust_remote_code": True} if trusted else {}
    classify = pipeline(f"{kind}-classification", model=repo_id, device="cpu", **pinned)
    shares = [{one["label"]: one["score"] for one in classify(item, top_k=100)} for item in inputs]
    kind = type(classify.model)
    answers[repo_id] = {"class": kind.__name__, "module": kind.__module__, "shares": shares}
print("ANSWERS" + json.dumps(answers))
"""
)


def answers_of(code: str, words: list[str], env: dict[str, str], cwd: Path) -> tuple[dict, str]:
    """What a fresh process answers, and everything else it said."""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said, answers = done.stdout.split("ANSWERS")
    return json.loads(answers), said + done.stderr


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    """Three hundred rows of the SMS file of --demo."""
    rows = Path(demo_recipe(load_recipe("text/lstm_frozen")).data.train).read_text(encoding="utf-8").splitlines()[:300]
    path = tmp_path_factory.mktemp("demo") / "sms.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """Twelve digits of each class of --demo."""
    target = tmp_path_factory.mktemp("demo") / "digits"
    for folder in sorted(Path(demo_recipe(load_recipe("vision/linear_probe")).data.train).iterdir()):
        (target / folder.name).mkdir(parents=True)
        for image in sorted(folder.iterdir())[:12]:
            shutil.copy(image, target / folder.name)
    return target


@pytest.fixture(scope="module")
def circle(tmp_path_factory, texts, digits):
    """Go round once; the folder of everything, the server, and what author and stranger said."""
    folder = tmp_path_factory.mktemp("circle")
    rows = ["--demo", "--data.train", str(texts), "--data.header", "false", "--data.label", "0", "--data.text", "1"]
    sms = [line.split("\t")[1] for line in texts.read_text(encoding="utf-8").splitlines()[-4:]]
    pictures = [str(next(digits.glob(f"{digit}/*.png"))) for digit in (0, 4, 7)]
    steps = ["--max_steps", "3", "--per_device_train_batch_size", "8"]
    runs = [
        (STOCK, ["text/full_finetune", *rows, *steps], str(folder / "stock"), sms),
        (TIMM, ["vision/linear_probe", "--demo", "--data.train", str(digits)], str(folder / "timm"), pictures),
        (LSTM, ["text/lstm_frozen", *rows, *steps], str(folder / "lstm"), sms),
    ]
    again = [f"hub://{LSTM}", *rows, "--output_dir", str(folder / "again")]
    with HubServer({TOKEN: User("alice")}) as hub:
        env = {**os.environ, **hub.env(TOKEN, folder / "author")}
        mine, said = answers_of(AUTHOR, [json.dumps([runs, again])], env, folder)

        cases = [
            (repo_id, hub.repos[repo_id].commits[-1].oid, words[0].partition("/")[0].replace("vision", "image"),
             repo_id == LSTM, inputs)
            for repo_id, words, _, inputs in runs
        ]  # fmt: skip
        home = folder / "stranger"
        env = {**os.environ, **hub.env(None, home)}
        assert not home.exists()
        theirs, heard = answers_of(STRANGER, [json.dumps(cases), str(ROOT)], env, folder)
        yield {"folder": folder, "hub": hub, "mine": mine, "theirs": theirs, "said": said + heard}


@pytest.mark.parametrize("repo_id", [STOCK, TIMM, LSTM])
def test_a_stranger_gets_the_same_probabilities(circle, repo_id):
    mine, theirs = circle["mine"][repo_id], circle["theirs"][repo_id]["shares"]
    assert len(mine) >= 3
    for ours, other in zip(mine, theirs, strict=True):
        assert sum(ours.values()) == pytest.approx(1)
        assert other == pytest.approx(ours, abs=1e-5)
    assert mine[0] != mine[1]  # not one answer to everything


def test_they_are_stock_classes_where_that_is_exact_and_else_the_code_of_that_commit(circle):
    kinds = {repo_id: (one["class"], one["module"]) for repo_id, one in circle["theirs"].items()}
    oid = circle["hub"].repos[LSTM].commits[-1].oid
    assert kinds[STOCK][0] == "BertForSequenceClassification"
    assert kinds[TIMM][0] == "TimmWrapperForImageClassification"
    assert all(kinds[one][1].startswith("transformers.models.") for one in (STOCK, TIMM))
    assert kinds[LSTM][0] == "TransferForSequenceClassification"
    assert kinds[LSTM][1].startswith("transformers_modules.") and oid in kinds[LSTM][1]


def test_the_files_came_from_the_hub_in_the_state_that_was_pushed(circle):
    for repo_id, repo in circle["hub"].repos.items():
        title = repo.commits[-1].title
        assert len(repo.commits) == 2 and title.startswith("Push "), title
        place = circle["folder"] / "stranger/hub" / f"models--{repo_id.replace('/', '--')}"
        snapshot = place / "snapshots" / repo.commits[-1].oid
        assert (snapshot / "model.safetensors").read_bytes() == repo.files["model.safetensors"]
        assert f"pushed: {circle['hub'].url}/{repo_id}/commit/{repo.commits[-1].oid}" in circle["said"]
    assert TOKEN not in circle["said"]


def test_the_recipe_that_was_pushed_runs_again_to_the_same_figures(circle):
    first, again = (json.loads((circle["folder"] / name / "results.json").read_text()) for name in ("lstm", "again"))
    assert again["recipe"] == "alice-lstm" and again["training"] == first["training"]
    assert again["metrics"] == first["metrics"]
    assert f"ignored from hub://{LSTM}: data.train './sms.tsv'; --data.train FILE sets it anew" in circle["said"]
    assert f"ignored from hub://{LSTM}: backbone.checkpoint " in circle["said"]
