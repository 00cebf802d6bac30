"""Run the recipe of a pushed model: the real client fetches its recipe.json from a server on 127.0.0.1."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer, User

ROOT = Path(__file__).resolve().parents[2]
TOKEN, CANARY = "hf_canaryToken0123456789", "canaryuser"
SPAM = "alice/spam"
FILE = f"/{SPAM}/resolve/main/recipe.json"

pytestmark = pytest.mark.hub

# The client reads its settings once, when it is imported, so it lives in a process of its own and takes orders there.
WORKER = """
import contextlib, io, json, os, sys, traceback, warnings

def call(words):
    from hf_transfer.cli import main
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return [code, out.getvalue(), err.getvalue()]

def load(name):
    from hf_transfer import load_recipe
    from hf_transfer.recipe_json import recipe_to_dict
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        recipe = load_recipe(name)
    return [recipe_to_dict(recipe), [str(one.message) for one in seen], [one.filename for one in seen]]

answers = sys.stdout
for line in sys.stdin:
    order = json.loads(line)
    try:
        answer = {"done": globals()[order.pop("do")](**order)}
    except Exception as error:
        traceback.print_exc()
        answer = {"kind": type(error).__name__, "error": str(error)}
    print("ANSWER" + json.dumps(answer), file=answers, flush=True)
"""


class Worker:
    """A process with the real client; everything it prints is kept."""

    def __init__(self, env: dict[str, str], cwd: Path):
        self.log, self.printed = cwd / "worker.log", []
        with open(self.log, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, cwd=cwd, env=env,
            )  # fmt: skip

    def ask(self, do: str, **words):
        self.process.stdin.write(json.dumps({"do": do, **words}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            self.printed.append(line)
            if line.startswith("ANSWER"):
                return json.loads(line.removeprefix("ANSWER"))
        raise AssertionError(f"the client died: {self.log.read_text()[-3000:]}")

    def call(self, *words) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a command line."""
        answer = self.ask("call", words=[str(word) for word in words])
        assert "done" in answer, answer
        return tuple(answer["done"])

    def refused(self, name: str = f"hub://{SPAM}") -> str:
        """The one line of the error that the command line ends with."""
        code, out, err = self.call("show", name)
        assert (code, out) == (2, "")
        assert err.startswith("error: ") and err.count("\n") == 1, err
        return err

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def hub():
    with HubServer({TOKEN: User("alice")}) as server:
        yield server


@pytest.fixture(autouse=True)
def healthy(hub):
    hub.heal()
    hub.repos.clear()
    yield
    hub.heal()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a client; its caches are its own unless another client's `home` is given."""
    started = []

    def begin(hub, token=None, home=None, **changes):
        cwd = tmp_path_factory.mktemp("client")
        env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        env |= {"HF_TRANSFER_CACHE": os.environ["HF_TRANSFER_CACHE"], "PYTHONPATH": str(ROOT)}
        started.append(Worker(env | hub.env(token, home or cwd / "hf") | changes, cwd))
        started[-1].cwd = cwd
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


@pytest.fixture(scope="module")
def client(hub, start):
    """A stranger without a token."""
    return start(hub)


def recipe(**changes) -> dict:
    return {
        "summary": "BiLSTM on a frozen encoder",
        "data": {"kind": "TextClassification", "train": "./sms.tsv", "text": "1", "label": "0", "header": False,
                 "sep": "\t"},
        "backbone": {"kind": "TextBackbone", "checkpoint": "./mini-bert", "max_length": 32},
        "head": {"kind": "LSTMHead", "hidden_size": 4, "num_layers": 1},
        "strategy": {"kind": "FrozenFeatures"},
        "training": {"learning_rate": 0.01, "max_steps": 2},
        **changes,
    }  # fmt: skip


def from_hub(**changes) -> dict:
    data = {"kind": "TextClassification", "train": "stanfordnlp/sst2", "text": "sentence"}
    return recipe(data=data, backbone={"kind": "TextBackbone", "checkpoint": "distilbert/distilbert-base"}, **changes)


def put(hub, content, repo_id: str = SPAM, private: bool = False) -> str:
    """Commit a recipe.json beside other files of a model; returns the commit."""
    repo = hub.repos.get(repo_id) or hub.create(repo_id, private)
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    others = {"model.safetensors": b"weights", "modeling_transfer.py": b"raise SystemExit('ran')", "README.md": b"hi"}
    return repo.add("push", {**repo.commits[-1].files, **others, "recipe.json": raw}).oid


# ---------------------------------------------------------------------------------------------------------------------
# What is read


def test_the_recipe_alone_is_downloaded_and_shown(hub, client):
    put(hub, from_hub())
    code, out, err = client.call("show", f"hub://{SPAM}")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["data"]["train"] == "stanfordnlp/sst2" and shown["head"]["hidden_size"] == 4
    assert {request.path.rpartition("/")[2] for request in hub.seen("GET")} == {"recipe.json"}
    assert client.call("run", f"hub://{SPAM}", "--show")[1] == out


def test_a_revision_is_that_state_and_no_other(hub, client):
    first = put(hub, from_hub(summary="the first"))
    put(hub, from_hub(summary="the second"))
    assert json.loads(client.call("show", f"hub://{SPAM}")[1])["summary"] == "the second"
    assert json.loads(client.call("show", f"hub://{SPAM}@{first}")[1])["summary"] == "the first"
    assert f"alice/spam has no revision '{'1' * 40}'" in client.refused(f"hub://{SPAM}@{'1' * 40}")


def test_what_is_not_taken_is_listed_with_its_flag_and_out_of_the_way_of_json(hub, client):
    training = {"learning_rate": 0.01, "report_to": "wandb", "deepspeed": "./zero.json", "output_dir": "/srv/x"}
    put(hub, recipe(training=training, trust_remote_code=True))
    code, out, err = client.call("show", f"hub://{SPAM}")
    ignored = f"ignored from hub://{SPAM}: "
    assert code == 0
    assert err.splitlines() == [
        ignored + "trust_remote_code True; --trust_remote_code sets it anew",
        ignored + "data.train './sms.tsv'; --data.train FILE sets it anew",
        ignored + "backbone.checkpoint './mini-bert'; --backbone.checkpoint NAME sets it anew",
        ignored + "training.report_to 'wandb'; --report_to sets it anew",
        ignored + "training.deepspeed './zero.json'; --deepspeed sets it anew",
        ignored + "training.output_dir '/srv/x'; --output_dir FOLDER sets it anew",
    ]
    shown = json.loads(out)
    assert shown["training"] == {"learning_rate": 0.01}
    assert shown["data"]["train"] == "<set --data.train>" and shown["data"]["text"] == "1"


def test_help_shows_the_knobs_with_their_values(hub, client):
    put(hub, recipe())
    code, out, err = client.call(f"hub://{SPAM}", "--help")
    assert code == 0 and f"usage: hf-transfer run hub://{SPAM} [flags]\n\nBiLSTM on a frozen encoder\n" in out
    assert "--head.hidden_size 4" in out and "*--max_steps 2" in out and "--data.train '<set --data.train>'" in out
    assert "data.train './sms.tsv'" in err


def test_in_code_a_warning_says_what_was_not_taken(hub, client):
    put(hub, recipe())
    content, messages, files = client.ask("load", name=f"hub://{SPAM}")["done"]
    assert content["backbone"]["checkpoint"] == "<set --backbone.checkpoint>"
    assert messages == [
        f"ignored from hub://{SPAM}: data.train './sms.tsv'; --data.train FILE sets it anew",
        f"ignored from hub://{SPAM}: backbone.checkpoint './mini-bert'; --backbone.checkpoint NAME sets it anew",
    ]
    assert set(files) == {"<string>"}  # the caller's line, not ours


# ---------------------------------------------------------------------------------------------------------------------
# What has to be given


def test_a_source_that_was_not_taken_must_be_given(hub, client):
    oid = put(hub, recipe())
    code, out, err = client.call("run", f"hub://{SPAM}@{oid}")
    assert code == 2 and out == ""
    assert err.splitlines()[-1] == (
        f"error: hub://{SPAM}@{oid} was made from what is not on the Hub; give --data.train FILE --data.text 1 "
        "--data.label 0 --data.sep '\\t' --data.header false (it was './sms.tsv', with these columns), and "
        f"--backbone.checkpoint NAME (it was './mini-bert'; `--backbone.checkpoint {SPAM} --backbone.revision {oid}` "
        "starts from the encoder that was pushed)"
    )
    line = client.call("run", f"hub://{SPAM}", "--data.train", "mine.csv")[2].splitlines()[-1]
    assert "give --backbone.checkpoint NAME" in line and "--data.train" not in line
    line = client.call("run", f"hub://{SPAM}", "--backbone.checkpoint", "mini")[2].splitlines()[-1]
    assert "give --data.train FILE" in line and "--backbone.checkpoint" not in line


def test_a_folder_of_images_is_asked_for_as_one(hub, client):
    data = {"kind": "ImageClassification", "train": "./photos", "image": "image", "label": "label"}
    backbone = {"kind": "ImageBackbone", "checkpoint": "timm/resnet18.a1_in1k"}
    put(hub, recipe(data=data, backbone=backbone, head={"kind": "NativeHead"}))
    line = client.call("run", f"hub://{SPAM}")[2].splitlines()[-1]
    assert "give --data.train FOLDER (it was './photos', one folder of images per class)" in line


def test_with_both_given_it_runs_under_its_own_name_and_writes_where_the_user_says(hub, client, mini_text, reviews):
    training = {"learning_rate": 0.01, "max_steps": 2, "output_dir": f"/tmp/{CANARY}", "run_name": CANARY, "seed": 3}
    put(hub, recipe(training={**training, "report_to": "wandb", "save_total_limit": None}))
    own = ("--data.train", reviews, "--data.label", "stars", "--backbone.checkpoint", mini_text)
    code, out, err = client.call("run", f"hub://{SPAM}", *own)
    assert code == 0, err
    folder = client.cwd / "runs" / "alice-spam"
    results = json.loads((folder / "results.json").read_text())
    assert results["recipe"] == "alice-spam" and results["seed"] == 3
    assert results["training"] == {"learning_rate": 0.01, "max_steps": 2, "seed": 3}
    assert not Path(f"/tmp/{CANARY}").exists()
    assert CANARY not in "".join(path.read_text() for path in folder.glob("*.json"))
    assert f"training.output_dir '/tmp/{CANARY}'" in err
    # What it wrote is a recipe like any other.
    again = client.call("run", folder, "--show")
    assert again[0] == 0 and json.loads(again[1])["head"]["hidden_size"] == 4


def test_a_pushed_run_goes_on_from_its_own_encoder_as_the_line_says(hub, start, mini_text, reviews, tmp_path):
    rows = ("--data.train", reviews, "--data.label", "stars")
    mini = (*rows, "--backbone.checkpoint", mini_text, "--backbone.max_length", "32", "--head.hidden_size", "4")
    author = start(hub, TOKEN)
    push = ("--max_steps", "2", "--push_to_hub", "--hub_model_id", SPAM, "--output_dir", tmp_path / "out")
    assert author.call("run", "text/lstm_frozen", *mini, *push)[0] == 0
    stranger = start(hub)
    line = stranger.call("run", f"hub://{SPAM}", *rows)[2].splitlines()[-1]
    flags = re.search(r"`(--backbone.checkpoint .*?)` starts from the encoder that was pushed", line)[1].split()
    code, out, err = stranger.call("run", f"hub://{SPAM}", *rows, *flags)
    assert code == 0, err
    first, again = (json.loads((folder / "results.json").read_text())
                    for folder in (tmp_path / "out", stranger.cwd / "runs/alice-spam"))  # fmt: skip
    assert again["checkpoint"] == SPAM and again["training"] == first["training"]
    assert again["metrics"] == first["metrics"]  # a frozen encoder is what it was, and the seed is the same


# ---------------------------------------------------------------------------------------------------------------------
# What can go wrong: one line each


def test_no_such_model_and_a_private_one(hub, client, start):
    line = client.refused("hub://alice/nothing")
    assert "the Hub finds no model alice/nothing: check the name, and if it is private log in with `hf auth" in line
    put(hub, from_hub(), private=True)
    assert "the Hub finds no model alice/spam: check the name, and if it is private log in" in client.refused()
    owner = start(hub, TOKEN)
    assert owner.call("show", f"hub://{SPAM}")[0] == 0
    assert "the Hub finds no model alice/nothing that your token may see" in owner.refused("hub://alice/nothing")
    wrong = start(hub, "hf_wrongToken0123456789")
    line = wrong.refused()
    assert "the Hub does not accept the token (401: Invalid credentials" in line and "hf auth login" in line
    said = "".join(owner.printed + wrong.printed) + owner.log.read_text() + wrong.log.read_text()
    assert TOKEN not in said and "hf_wrongToken" not in said


def test_a_model_that_was_not_pushed_by_us(hub, client):
    hub.create(SPAM).add("push", {"config.json": b"{}"})
    line = client.refused()
    assert "alice/spam holds no recipe.json" in line and "--backbone.checkpoint alice/spam" in line


def test_a_model_that_is_open_to_those_who_asked(hub, client):
    put(hub, from_hub())
    hub.fail("HEAD", FILE, 403, message="gated", headers={"X-Error-Code": "GatedRepo"})
    line = client.refused()
    assert f"alice/spam is open to those who asked: ask at {hub.url}/alice/spam" in line


def test_the_server_may_repeat_the_token_but_we_do_not(hub, start):
    owner = start(hub, TOKEN)
    put(hub, from_hub())
    hub.fail("HEAD", FILE, 400, message=f"bad {TOKEN}")
    assert "bad [token]" in owner.refused()
    assert TOKEN not in "".join(owner.printed) + owner.log.read_text()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x80\x05pickle", "is not JSON ("),
        (b"[" * 200_000, "is not JSON ("),
        (b'{"summary": ' + b"9" * 5000 + b"}", "is not JSON ("),
        (b"[1]", "found list"),
        (recipe(head={"kind": "Popen", "args": "rm"}), "head has the kind 'Popen', which hf_transfer does not have"),
        (recipe(head={"kind": "os.system"}), "head has the kind 'os.system'"),
        (recipe(head={"kind": "load_recipe"}), "head has the kind 'load_recipe'"),
        (recipe(head={"kind": "FrozenFeatures"}), "recipe: head is FrozenFeatures()"),
        (recipe(head={"kind": "LSTMHead", "dropout": "4"}), "head.dropout is '4', which does not fit LSTMHead"),
        (recipe(colour="red"), "unknown field 'colour'"),
        (recipe(training={"learning_rate": "fast"}), "training.learning_rate is 'fast'; allowed: a number"),
        (recipe(summary="\x1b[2J"), "control character"),
    ],
)
def test_a_file_that_is_no_recipe_is_told_in_one_line(hub, client, content, expected):
    put(hub, content)
    line = client.refused()
    assert line.startswith(f"error: recipe.json of hub://{SPAM}") and expected in line
    assert len(line) < 400


def test_a_file_too_large_for_a_recipe_is_not_downloaded(hub, client):
    large = put(hub, b'{"summary": "' + b"x" * 1_000_001 + b'"}')
    assert "has 1,000,016 bytes; a recipe has less than 1,000,000" in client.refused()
    put(hub, from_hub())
    assert "has 1,000,016 bytes" in client.refused(f"hub://{SPAM}@{large}")
    assert hub.seen("GET", "recipe.json") == []


def test_half_a_file_is_no_recipe(hub, client):
    put(hub, from_hub(summary="half of it gets lost"))
    hub.fail("GET", "recipe.json", "short")
    assert "cannot be had: Consistency check failed" in client.refused()
    assert client.call("show", f"hub://{SPAM}")[0] == 0


def test_without_a_network_what_is_in_the_cache_is_used(hub, start, tmp_path):
    put(hub, from_hub())
    assert start(hub, home=tmp_path).call("show", f"hub://{SPAM}")[0] == 0
    away = start(hub, home=tmp_path, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="")
    code, out, err = away.call("show", f"hub://{SPAM}")
    assert code == 0, err
    assert json.loads(out)["data"]["train"] == "stanfordnlp/sst2"
    assert err == "note: 127.0.0.1:9 cannot be reached; only what is on this disk is used\n"
    code, out, err = away.call("show", "hub://alice/other")
    assert (code, out) == (2, "")
    assert "recipe.json of hub://alice/other is not in the cache" in err and "no network was found" in err


FAILURES = [(500, "failure of its own (500"), (429, "asks to slow down (429"), (403, "let this token read")]
FAILURES += [("cut", "the connection to")]


@pytest.mark.parametrize(("how", "expected"), FAILURES)
def test_a_hub_that_fails_is_not_replaced_by_what_the_cache_has(hub, client, how, expected):
    put(hub, from_hub())
    assert client.call("show", f"hub://{SPAM}")[0] == 0
    hub.fail("HEAD", FILE, how)
    assert expected in client.refused()
    assert client.call("show", f"hub://{SPAM}")[0] == 0


def test_in_code_a_hub_that_cannot_be_reached(hub, start):
    answer = start(hub, HF_ENDPOINT="http://127.0.0.1:9").ask("load", name=f"hub://{SPAM}")
    assert answer["kind"] == "UserError" and "the connection to http://127.0.0.1:9 failed" in answer["error"]
