"""Push a finished run with the real client to a server on 127.0.0.1: what arrives, what stays, and what can fail."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer, User

ROOT = Path(__file__).resolve().parents[2]
TOKEN, READ_ONLY, CANARY = "hf_canaryToken0123456789", "hf_readOnlyToken01234567", "canaryuser"
REPO = "alice/spam-detector"
CODE = ("configuration_transfer.py", "heads_transfer.py", "modeling_transfer.py")

pytestmark = pytest.mark.hub

# The client reads its settings once, when it is imported, so it lives in a process of its own and takes orders there.
WORKER = """
import dataclasses, json, sys, traceback

def push(**words):
    from hf_transfer.hub_push import push_folder
    return dataclasses.asdict(push_folder(**words))

def check(**words):
    from hf_transfer.hub_push import check_push
    return check_push(**words)

def download(repo_id, cache, **words):
    from huggingface_hub import snapshot_download
    return snapshot_download(repo_id, cache_dir=cache, **words)

def verify(repo_id, cache, **words):
    from huggingface_hub import HfApi
    found = HfApi().verify_repo_checksums(repo_id, cache_dir=cache, **words)
    return [one["path"] for one in found.mismatches] + found.missing_paths

for line in sys.stdin:
    order = json.loads(line)
    try:
        answer = {"done": globals()[order.pop("do")](**order)}
    except Exception as error:
        traceback.print_exc()
        answer = {"kind": type(error).__name__, "error": str(error)}
    print("ANSWER" + json.dumps(answer), flush=True)
"""


class Worker:
    """A process with the real client; everything it prints is kept."""

    def __init__(self, env: dict[str, str], log: Path):
        self.log, self.printed = log, []
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, cwd=ROOT, env=env,
            )  # fmt: skip

    def ask(self, do: str, **words):
        self.send(do, **words)
        for line in self.process.stdout:
            self.printed.append(line)
            if line.startswith("ANSWER"):
                return json.loads(line.removeprefix("ANSWER"))
        raise AssertionError(f"the client died: {self.log.read_text()[-3000:]}")

    def send(self, do: str, **words) -> None:
        words = {name: str(value) if isinstance(value, Path) else value for name, value in words.items()}
        self.process.stdin.write(json.dumps({"do": do, **words}) + "\n")
        self.process.stdin.flush()

    def push(self, folder: Path, repo_id: str = REPO, **words) -> dict:
        answer = self.ask("push", folder=folder, repo_id=repo_id, **{"token": TOKEN, **words})
        assert "done" in answer, answer["error"]
        return answer["done"]

    def refused(self, do: str, **words) -> str:
        """The one line of a `UserError`."""
        answer = self.ask(do, **{"token": TOKEN, **words})
        assert answer.get("kind") == "UserError", answer
        assert "\n" not in answer["error"]
        return answer["error"]

    def output(self) -> str:
        return "".join(self.printed) + self.log.read_text()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def hub():
    users = {TOKEN: User("alice", orgs=("acme",)), READ_ONLY: User("alice", role="read")}
    with HubServer(users) as server:
        yield server


@pytest.fixture(autouse=True)
def healthy(hub):
    hub.heal()
    hub.repos.clear()
    hub._lfs.clear()
    yield
    hub.heal()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("disk") / CANARY
    place.mkdir()
    return place


@pytest.fixture(scope="module")
def start(home, tmp_path_factory):
    """Start a client, with changes to its environment; None takes a variable away."""
    started = []

    def begin(hub: HubServer, **changes) -> Worker:
        own = {"HOME": str(home), "USER": CANARY, "LOGNAME": CANARY, "HF_TOKEN": None, "HF_HUB_VERBOSITY": None}
        own |= {**hub.env(None, home / "hf"), **changes}
        env = {name: value for name, value in {**os.environ, **own}.items() if value is not None}
        started.append(Worker(env, tmp_path_factory.mktemp("log") / "stderr"))
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


@pytest.fixture(scope="module")
def client(hub, start) -> Worker:
    return start(hub)


@pytest.fixture
def run(home, tmp_path) -> Path:
    """A finished run in the author's home, with a custom head, and everything around it that must stay there."""
    folder = home / tmp_path.name / "out"
    folder.mkdir(parents=True)
    write_run(folder, home)
    return folder


def write_run(folder: Path, home: Path) -> None:
    write_weights(folder / "model.safetensors", rows=16)
    for name in CODE:
        shutil.copyfile(ROOT / "hf_transfer" / "hub" / name, folder / name)
    (folder / "README.md").write_text("---\nlibrary_name: transformers\ntags:\n- spam\n---\n\n# Spam\n")
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n/usr/lib\n/root\nspam\n")
    write_json(folder / "config.json", {
        "model_type": "transfer_text", "_name_or_path": f"{home}/nets/mini-bert",
        "id2label": {"0": "ham", "1": "/r/spam/"}, "label2id": {"ham": 0, "/r/spam/": 1},
    })  # fmt: skip
    write_json(folder / "tokenizer_config.json", {"vocab_file": f"{home}/nets/mini-bert/vocab.txt", "model_max": 128})
    recipe = {
        "summary": "BiLSTM on a frozen encoder",
        "data": {"kind": "TextClassification", "train": f"{home}/my data/reviews.csv", "validation": None,
                 "test": f"/srv/{CANARY}/test.csv", "text": "body"},
        "backbone": {"kind": "TextBackbone", "checkpoint": f"{home}/nets/mini-bert", "revision": None},
        "training": {"learning_rate": 0.001, "deepspeed": f"/etc/{CANARY}/zero.json"},
    }  # fmt: skip
    write_json(folder / "recipe.json", recipe)
    notes = [f"test: /srv/{CANARY}/test.csv has 3 rows without a label", f"read from {home}/.cache/x.arrow, twice"]
    write_json(folder / "results.json", {
        "recipe": "text/lstm_frozen", "checkpoint": recipe["backbone"]["checkpoint"],
        "hub_sources": {"base_model": None, "datasets": []},
        "headline": {"name": "accuracy", "value": 0.98354, "ci95": [0.97, 0.99]},
        "labels": ["ham", "/r/spam/"], "per_class": [{"name": "/r/spam/", "f1": 0.9}], "notes": notes,
        "training": recipe["training"], "files": sorted([*(p.name for p in folder.iterdir()), "results.json"]),
    })  # fmt: skip
    # What lies there too and is nobody's business
    for name in ("training_args.bin", "optimizer.pt", "trainer_state.json", ".env", "notes.txt", "other.safetensors"):
        (folder / name).write_text(f"{TOKEN} {home} {CANARY}")
    (folder / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-5" / "model.safetensors").write_text(CANARY)


def write_weights(path: Path, rows: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    values = np.arange(rows * 1024, dtype="float32").reshape(rows, 1024)
    save_file({"head.weight": values}, path, metadata={"format": "pt"})


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def edit(path: Path, **changes) -> None:
    write_json(path, {**json.loads(path.read_text()), **changes})


def listed(folder: Path) -> list[str]:
    return json.loads((folder / "results.json").read_text())["files"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------------------------------------------------
# What arrives


def test_one_commit_holds_exactly_the_files_of_the_run(hub, client, run):
    made = client.push(run)
    repo = hub.repos[REPO]
    assert [commit.title for commit in repo.commits] == [
        "initial commit",
        "Push text/lstm_frozen, test accuracy 0.9835",
    ]
    assert sorted(repo.files) == listed(run)
    assert len(repo.files) == 10
    oid = repo.commits[-1].oid
    assert made == {"repo_id": REPO, "url": f"{hub.url}/{REPO}/commit/{oid}", "oid": oid, "new": True}
    unchanged = {name for name, content in repo.files.items() if content == (run / name).read_bytes()}
    assert unchanged == {*CODE, "README.md", "model.safetensors", "vocab.txt"}


def test_nothing_that_leaves_names_the_author(hub, client, run, home):
    before = contents(run)
    client.push(run)
    client.push(run)
    sent = [request.body for request in hub.requests] + [request.path.encode() for request in hub.requests]
    sent += [b for commit in hub.repos[REPO].commits for b in commit.files.values()]
    sent += [commit.title.encode() for commit in hub.repos[REPO].commits]
    assert len(sent) > 20
    for canary in (TOKEN, str(home), CANARY):
        assert not any(canary.encode() in content for content in sent), canary
    others = [value for request in hub.requests for name, value in request.headers.items() if name != "authorization"]
    assert not any(TOKEN in value or CANARY in value for value in others)
    assert TOKEN not in client.output()
    assert contents(run) == before


def test_local_places_become_their_last_name_and_labels_stay(hub, client, run):
    client.push(run)
    files = {name: json.loads(content) for name, content in hub.repos[REPO].files.items() if name.endswith(".json")}
    recipe, results, config = files["recipe.json"], files["results.json"], files["config.json"]
    assert recipe["data"]["train"] == "./reviews.csv"
    assert recipe["data"]["test"] == "./test.csv"
    assert recipe["backbone"]["checkpoint"] == results["checkpoint"] == config["_name_or_path"] == "./mini-bert"
    assert recipe["training"] == {"learning_rate": 0.001, "deepspeed": "./zero.json"}
    assert results["notes"] == ["test: ./test.csv has 3 rows without a label", "read from ./x.arrow, twice"]
    assert files["tokenizer_config.json"] == {"vocab_file": "./vocab.txt", "model_max": 128}
    assert results["labels"] == ["ham", "/r/spam/"]
    assert results["per_class"] == [{"name": "/r/spam/", "f1": 0.9}]
    assert config["id2label"] == {"0": "ham", "1": "/r/spam/"}


def test_what_came_from_the_hub_keeps_its_name(hub, client, run):
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["backbone"]["checkpoint"], recipe["data"]["train"] = (
        "distilbert/distilbert-base-uncased",
        "stanfordnlp/sst2",
    )
    recipe["data"]["test"] = "validation"
    write_json(run / "recipe.json", recipe)
    sources = {"base_model": "distilbert/distilbert-base-uncased", "datasets": ["stanfordnlp/sst2"]}
    edit(run / "results.json", checkpoint=recipe["backbone"]["checkpoint"], hub_sources=sources)
    client.push(run)
    pushed = json.loads(hub.repos[REPO].files["recipe.json"])
    assert pushed["backbone"] == recipe["backbone"]
    assert pushed["data"] == recipe["data"]


def test_a_bare_folder_name_can_not_be_taken_for_a_hub_id(hub, client, run):
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["backbone"]["checkpoint"], recipe["data"]["train"] = "net", "photos/"
    write_json(run / "recipe.json", recipe)
    same = {"labels": ["net", "photos"], "per_class": [{"name": "net"}]}
    edit(run / "results.json", checkpoint="net", **same)
    edit(run / "config.json", id2label={"0": "net", "1": "photos"}, head_type="net")
    client.push(run)
    files = hub.repos[REPO].files
    recipe, results, config = (json.loads(files[f"{name}.json"]) for name in ("recipe", "results", "config"))
    assert (recipe["backbone"]["checkpoint"], recipe["data"]["train"]) == ("./net", "./photos")
    assert results["checkpoint"] == "./net"
    assert {name: results[name] for name in same} == same
    assert config["id2label"] == {"0": "net", "1": "photos"}
    assert config["head_type"] == "net"


def test_a_checkpoint_outside_the_home_folder_is_shortened_in_the_configuration_too(hub, client, run):
    recipe, place = json.loads((run / "recipe.json").read_text()), f"/srv/{CANARY}/net"
    recipe["backbone"]["checkpoint"] = place
    write_json(run / "recipe.json", recipe)
    edit(run / "config.json", _name_or_path=place)
    client.push(run)
    assert json.loads(hub.repos[REPO].files["config.json"])["_name_or_path"] == "./net"


# ---------------------------------------------------------------------------------------------------------------------
# Again


def test_a_second_push_makes_no_commit_and_says_so(hub, client, run):
    first = client.push(run)
    uploads = len(hub.seen("PUT"))
    second = client.push(run)
    assert second == {**first, "new": False}
    assert len(hub.repos[REPO].commits) == 2
    assert len(hub.seen("PUT")) == uploads == 1


def test_a_changed_file_makes_one_commit_that_sends_it_alone(hub, client, run):
    first = client.push(run)
    (run / "README.md").write_text((run / "README.md").read_text() + "\nMore.\n")
    hub.requests.clear()
    second = client.push(run)
    assert second["new"] and second["oid"] != first["oid"]
    (sent,) = hub.seen("POST", "/commit/")
    lines = [json.loads(line) for line in sent.body.splitlines()]
    assert [line["value"].get("path") for line in lines[1:]] == ["README.md"]
    assert hub.repos[REPO].files["README.md"].endswith(b"More.\n")


def test_what_an_earlier_run_left_there_goes_and_other_files_stay(hub, client, run):
    client.push(run)
    repo = hub.repos[REPO]
    repo.add("by hand", {**repo.commits[-1].files, "eval.csv": b"mine", "extra.py": b"mine"})
    for name in CODE:
        (run / name).unlink()
    edit(run / "results.json", files=[name for name in listed(run) if name not in CODE])
    client.push(run)
    assert sorted(repo.files) == sorted([*listed(run), "eval.csv", "extra.py"])
    assert len(repo.commits) == 4


def test_a_repository_whose_results_are_not_ours_loses_nothing(hub, client, run):
    repo = hub.create(REPO)
    repo.add("by hand", {**repo.commits[-1].files, "results.json": b"[1, 2", "a.csv": b"mine"})
    assert client.push(run)["new"]
    assert repo.files["a.csv"] == b"mine"


def test_a_bare_name_goes_under_the_user_and_visibility_is_as_asked(hub, client, run):
    assert client.push(run, "mine", private=True)["repo_id"] == "alice/mine"
    assert client.push(run, "acme/ours", private=False)["repo_id"] == "acme/ours"
    assert hub.repos["alice/mine"].private is True
    assert hub.repos["acme/ours"].private is False
    assert client.push(run, "mine", private=True)["new"] is False


def test_a_public_repository_is_not_pushed_to_when_a_private_one_is_asked_for(hub, client, run):
    hub.create(REPO)
    line = client.refused("push", folder=run, repo_id=REPO, private=True)
    assert "exists and is public, but a private one was asked for" in line
    assert hub.repos[REPO].files == {}


# ---------------------------------------------------------------------------------------------------------------------
# What is not a finished run, or must not be seen; nothing is asked of the server


def drop(name):
    return lambda run: (run / name).unlink()


def add_file(name, content):
    def change(run):
        (run / name).write_bytes(content)
        edit(run / "results.json", files=[*listed(run), name])

    return change


def list_a_file_outside(run):
    (run.parent / "x.json").write_text("{}")
    edit(run / "results.json", files=[*listed(run), "../x.json"])


def append(name, text):
    return lambda run: (run / name).write_text((run / name).read_text() + text)


def put_home_in_card(run):
    (run / "README.md").write_text(f"see {run.parents[1]}/data")


def put_token_in_weights(run):
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50] + TOKEN.encode() + b"\0" * 26)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop("results.json"), "not the output folder of a finished run: it holds no results.json"),
        (lambda run: (run / "results.json").write_text("{"), "results.json cannot be read"),
        (lambda run: (run / "results.json").write_text("{}"), "does not say which files belong to it"),
        (lambda run: edit(run / "results.json", files=["results.json"]), "does not name README.md, config.json"),
        (drop("model.safetensors"), "model.safetensors is no file of this folder, though results.json names it"),
        (lambda run: (run / "recipe.json").write_text("{"), "recipe.json cannot be read"),
        (lambda run: (run / ".unfinished").mkdir(), "a run is at work"),
        (add_file("training_args.bin", b"x"), "training_args.bin is not pushed: allowed are README.md"),
        (add_file("trainer_state.json", b"{}"), "trainer_state.json is not pushed"),
        (add_file("curve.png", b"\x80\x05x"), "curve.png does not hold what its name says"),
        (add_file("vocab.model", b"PK\x03\x04x"), "vocab.model does not hold what its name says"),
        (add_file("b.safetensors", b"PK\x03\x04pickled"), "b.safetensors does not hold what its name says"),
        (add_file("modeling_other.py", b"import os"), "is not code of this package"),
        (append("heads_transfer.py", "import os\n"), "heads_transfer.py differs from the file of hf-transfer-recipes"),
        (list_a_file_outside, "x.json is no file of this folder"),
        (put_home_in_card, "README.md holds the path of your home folder"),
        (put_token_in_weights, "model.safetensors holds your token"),
    ],
)  # fmt: skip
def test_a_folder_that_must_not_be_pushed_is_refused_before_anything_is_sent(hub, client, run, change, expected):
    change(run)
    assert expected in client.refused("push", folder=run, repo_id=REPO)
    assert hub.requests == []


def test_a_folder_that_is_not_there(client, tmp_path):
    assert "holds no results.json" in client.refused("push", folder=tmp_path / "no", repo_id=REPO)


@pytest.mark.parametrize("name", ["a/b/c", "alice/spam detector", "alice/", "-x", "alice/a--b", "x" * 100])
def test_a_malformed_name_is_told_with_what_is_allowed(hub, client, run, name):
    line = client.refused("push", folder=run, repo_id=name)
    assert repr(name) in line and "user/name" in line
    assert hub.requests == []


# ---------------------------------------------------------------------------------------------------------------------
# Tokens


def test_without_a_token_the_line_says_how_to_get_one(hub, client, run):
    line = client.refused("push", folder=run, repo_id=REPO, token=None)
    assert "`hf auth login`" in line and "HF_TOKEN" in line
    assert hub.requests == []


def test_the_stored_token_and_that_of_the_environment_are_found(hub, client, start, run, home):
    stored = home / "hf" / "token"
    stored.parent.mkdir(exist_ok=True)
    stored.write_text(TOKEN)
    try:
        assert client.push(run, token=None)["new"]
    finally:
        stored.unlink()
    other = start(hub, HF_TOKEN=TOKEN)
    assert other.push(run, token=None)["new"] is False
    assert TOKEN not in other.output()


def test_no_file_may_hold_the_token_of_the_environment_either(hub, start, run):
    add_file("notes.txt", b"HF_TOKEN=hf_anotherToken")(run)
    other = start(hub, HF_TOKEN="hf_anotherToken")
    assert "notes.txt holds your token" in other.refused("push", folder=run, repo_id=REPO)
    assert hub.requests == []


def test_a_token_with_a_line_break_inside_is_not_sent_nor_shown(hub, client, run):
    line = client.refused("push", folder=run, repo_id=REPO, token="hf_half\nanother")
    assert "hf_half" not in line and "hf auth login" in line
    assert hub.requests == []


def test_the_check_before_a_run_asks_and_makes_nothing(hub, client):
    assert client.ask("check", repo_id="spam", token=TOKEN) == {"done": "alice/spam"}
    assert client.ask("check", repo_id="acme/spam", token=TOKEN) == {"done": "acme/spam"}
    assert "belongs to bob" in client.refused("check", repo_id="bob/spam")
    assert "may only read" in client.refused("check", repo_id="spam", token=READ_ONLY)
    assert "does not accept the token" in client.refused("check", repo_id="spam", token="hf_wrong")
    assert {request.path for request in hub.requests} == {"/api/whoami-v2"}
    assert hub.repos == {}


# ---------------------------------------------------------------------------------------------------------------------
# Failures: one line, nothing lost, and the repeat succeeds

API = f"/api/models/{REPO}"
FAILURES = {
    "401 unknown token": (("GET", API, 401), {"message": "Invalid credentials in header"}, "hf auth login"),
    "403 at creation": (("POST", "/repos/create", 403), {"message": "no rights here"}, "no rights here"),
    "403 at upload": (("POST", "/preupload/", 403), {"message": "read-only"}, "token with write access"),
    "403 repeats the token": (("POST", "/preupload/", 403), {"message": f"bad {TOKEN}"}, "bad [token]"),
    "409 name taken": (("POST", "/repos/create", 409), {"message": "exists"}, f"the name {REPO} is taken (409"),
    "409 at commit": (("POST", "/commit/", 409), {}, "somebody else is changing"),
    "412 at commit": (("POST", "/commit/", 412), {}, "somebody else is changing"),
    "429 with a time": (("GET", API, 429), {"headers": {"Retry-After": "17"}}, "wait 17 seconds"),
    "500 at first": (("GET", API, 500), {"message": "Internal Error"}, "failure of its own (500: Internal Error)"),
    "500 at commit": (("POST", "/commit/", 500), {}, "try again later"),
    "503 in HTML at the card": (("POST", "/validate-yaml", 503), {}, "try again later"),
    "400 at commit": (("POST", "/commit/", 400), {"message": "file too odd"}, "refuses the push"),
    "card refused": (
        ("POST", "/validate-yaml", 400),
        {"body": {"errors": [{"message": '"license" must be one of'}], "warnings": []}},
        'refuses the metadata at the top of README.md ("license" must be one of)',
    ),
    "card refused in plain text": (
        ("POST", "/validate-yaml", 400),
        {"message": "", "text": '- Error: "license" must be one of [mit]\n- Error: "tags" must be an array'},
        'README.md ("license" must be one of [mit]; "tags" must be an array)',
    ),
    "cut at the card": (("POST", "/validate-yaml", "cut"), {}, "failed or broke off"),
    "cut before the commit": (("POST", "/commit/", "cut"), {}, "failed or broke off"),
    "answer to the creation lost": (("POST", "/repos/create", "lost"), {}, "failed or broke off"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line_loses_nothing_and_the_repeat_succeeds(hub, client, run, name):
    (method, part, how), words, expected = FAILURES[name]
    before = contents(run)
    hub.fail(method, part, how, **words)
    line = client.refused("push", folder=run, repo_id=REPO)
    assert expected in line
    assert f"safe to push again: `hf-transfer push {run} {REPO}`" in line
    assert TOKEN not in line
    assert TOKEN not in client.output()
    assert not hub.repos.get(REPO) or not hub.repos[REPO].files
    assert contents(run) == before
    assert client.push(run)["new"] is True
    assert sorted(hub.repos[REPO].files) == listed(run)


CARD = "---\nlicense: {license}\nlibrary_name: transformers\n---\n\n# Spam\n\n```python\n{snippet}\n```\n"
SNIPPET = """from transformers import pipeline

classify = pipeline("text-classification", model="MODEL", trust_remote_code=True)  # MODEL: a folder or Hub id
print(classify("a text", truncation=True))"""


def test_a_card_that_the_hub_refuses_stops_the_push_before_anything_is_made(hub, client, run):
    (run / "README.md").write_text(CARD.format(license="nonsense", snippet=SNIPPET))
    line = client.refused("push", folder=run, repo_id=REPO)
    assert '("license" must be one of [apache-2.0, mit, ' in line and "mend it there" in line
    assert [request.path for request in hub.requests] == ["/api/validate-yaml"]
    assert hub.repos == {}
    (run / "README.md").write_text(CARD.format(license="mit", snippet=SNIPPET))
    assert client.push(run)["new"]


@pytest.mark.parametrize(
    "metadata", ["a: [1", "- a\n- list", "1: 2", "model-index: [{name: x, results: [{task: {type: t}}]}]"]
)
def test_metadata_that_cannot_be_read_are_told_and_the_hub_is_not_asked(hub, client, run, metadata):
    (run / "README.md").write_text(f"---\n{metadata}\n---\n")
    assert "the metadata at the top of README.md cannot be read" in client.refused("push", folder=run, repo_id=REPO)
    assert hub.requests == []


def test_the_text_that_is_validated_is_the_text_that_is_pushed(hub, client, run):
    # Python would write 1e3 without quotes, and the Hub read it as a number.
    card = CARD.format(license="mit", snippet=SNIPPET).replace("\n---\n\n", '\ndatasets:\n- "1e3"\n---\n\n')
    (run / "README.md").write_text(card)
    client.push(run)
    asked = [json.loads(request.body)["content"] for request in hub.seen("POST", "/validate-yaml")]
    assert set(asked) == {hub.repos[REPO].files["README.md"].decode()}


def test_the_pushed_card_names_the_repository(hub, client, run):
    (run / "README.md").write_text(CARD.format(license="mit", snippet=SNIPPET))
    before = contents(run)
    client.push(run, "mine")
    pushed = hub.repos["alice/mine"].files["README.md"].decode()
    line = 'classify = pipeline("text-classification", model="alice/mine", trust_remote_code=True)'
    assert line in pushed.splitlines() and "MODEL" not in pushed
    assert pushed.replace(line, SNIPPET.splitlines()[2]) == (run / "README.md").read_text()
    assert contents(run) == before
    assert client.push(run, "alice/mine")["new"] is False


def test_a_commit_whose_answer_got_lost_is_found_by_the_repeat(hub, client, run):
    hub.fail("POST", "/commit/", "lost")
    assert "broke off" in client.refused("push", folder=run, repo_id=REPO)
    again = client.push(run)
    assert again["new"] is False
    assert again["oid"] == hub.repos[REPO].commits[-1].oid
    assert len(hub.repos[REPO].commits) == 2


def test_a_wrong_token_and_a_read_only_one(hub, client, run):
    assert "does not accept the token" in client.refused("push", folder=run, repo_id=REPO, token="hf_wrong")
    line = client.refused("push", folder=run, repo_id=REPO, token=READ_ONLY)
    assert f"may not write to {REPO} (403" in line
    assert hub.repos == {}
    assert client.push(run)["new"]


def test_a_name_of_somebody_else(hub, client, run):
    assert "may not write to bob/spam (403" in client.refused("push", folder=run, repo_id="bob/spam")
    hub.create("bob/spam")
    assert "may not write to bob/spam (403" in client.refused("push", folder=run, repo_id="bob/spam")
    assert hub.repos["bob/spam"].files == {}


def test_an_upload_that_breaks_off_once_goes_on_by_itself(hub, client, run):
    hub.fail("PUT", "/lfs/", "cut")
    before = len(client.output())
    assert client.push(run)["new"]
    assert "/lfs/" not in client.output()[before:]  # the address is signed: whoever reads it may write there
    assert [request.status for request in hub.seen("PUT")] == [None, 200]
    assert hub.repos[REPO].files["model.safetensors"] == (run / "model.safetensors").read_bytes()


def test_asked_to_slow_down_in_mid_upload_the_client_waits_and_goes_on(hub, client, run):
    hub.fail("PUT", "/lfs/", 429, headers={"Retry-After": "0"})
    assert client.push(run)["new"]
    assert [request.status for request in hub.seen("PUT")] == [429, 200]


def test_an_upload_refused_for_good_names_the_cause_and_not_the_signed_address(hub, client, run):
    hub.fail("PUT", "/lfs/", 400, message="checksum differs")
    line = client.refused("push", folder=run, repo_id=REPO)
    assert "(400: checksum differs)" in line
    assert hub.repos[REPO].files == {}
    assert client.push(run)["new"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", 500])
def test_an_upload_that_never_gets_through(hub, client, run, how):
    before = contents(run)
    hub.fail("PUT", "/lfs/", how, times=None)  # the client itself tries six times over 24 s
    line = client.refused("push", folder=run, repo_id=REPO)
    assert ("broke off" if how == "cut" else "failure of its own (500") in line
    assert len(hub.seen("PUT")) == 6
    assert hub.repos[REPO].files == {}
    assert contents(run) == before
    hub.heal()
    assert client.push(run)["new"]


def test_killed_in_mid_upload_nothing_is_half_there_and_the_repeat_succeeds(hub, client, start, run):
    before = contents(run)
    hub.fail("PUT", "/lfs/", "stall")
    hub.stalled.clear()
    victim = start(hub)
    victim.send("push", folder=run, repo_id=REPO, token=TOKEN)
    assert hub.stalled.wait(20), victim.output()
    victim.close()
    assert hub.repos[REPO].files == {}
    assert contents(run) == before
    assert client.push(run)["new"]
    assert sorted(hub.repos[REPO].files) == listed(run)


def test_a_commit_of_somebody_else_in_between_is_neither_lost_nor_mixed(hub, client, run):
    repo = hub.create(REPO)
    hub.fail("POST", "/preupload/", lambda: repo.add("rival", {**repo.commits[-1].files, "vocab.txt": b"rival"}))
    line = client.refused("push", folder=run, repo_id=REPO)
    assert "somebody else is changing" in line and "(412: A commit has happened since" in line
    assert repo.files == {"vocab.txt": b"rival"}
    assert client.push(run)["new"]
    assert [commit.title for commit in repo.commits][1:] == ["rival", "Push text/lstm_frozen, test accuracy 0.9835"]


def test_no_network_and_offline_mode(hub, client, start, run):
    before = contents(run)
    line = start(hub, HF_ENDPOINT="http://127.0.0.1:9").refused("push", folder=run, repo_id=REPO)
    assert "the connection to http://127.0.0.1:9 failed" in line and "HTTPS_PROXY" in line
    assert "offline mode is on" in start(hub, HF_HUB_OFFLINE="1").refused("push", folder=run, repo_id=REPO)
    assert contents(run) == before
    assert hub.requests == []
    assert client.push(run)["new"]


# ---------------------------------------------------------------------------------------------------------------------
# And back


def test_a_download_into_an_empty_cache_gives_the_bytes_that_were_pushed(hub, client, run, tmp_path):
    made = client.push(run, private=True)
    answer = client.ask("download", repo_id=REPO, cache=tmp_path, token=TOKEN)
    place = Path(answer["done"])
    assert place.name == made["oid"]
    assert contents(place) == hub.repos[REPO].commits[-1].files
    assert client.ask("verify", repo_id=REPO, cache=tmp_path, token=TOKEN) == {"done": []}
    assert client.ask("download", repo_id=REPO, cache=tmp_path / "b", token=False)["kind"] == "RepositoryNotFoundError"


def test_a_second_download_asks_by_etag_and_fetches_only_what_changed(hub, client, run, tmp_path):
    client.push(run)
    client.ask("download", repo_id=REPO, cache=tmp_path)
    (run / "README.md").write_text("---\ntags: [new]\n---\n")
    client.push(run)
    hub.requests.clear()
    place = Path(client.ask("download", repo_id=REPO, cache=tmp_path)["done"])
    assert [request.path.rpartition("/")[2] for request in hub.seen("GET", "/resolve/")] == ["README.md"]
    assert contents(place) == hub.repos[REPO].commits[-1].files


def test_a_download_that_breaks_off_goes_on_where_it_was(hub, client, run, tmp_path):
    write_weights(run / "model.safetensors", rows=5_632)  # 22 MiB: the client keeps what it has in steps of 10
    client.push(run)
    hub.fail("GET", "model.safetensors", "truncate")
    place = Path(client.ask("download", repo_id=REPO, cache=tmp_path)["done"])
    asked = [request.headers.get("range") for request in hub.seen("GET", "safetensors")]
    assert asked == [None, f"bytes={10 * 2**20}-"]
    assert (place / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_corrupted_download_is_noticed(hub, client, run, tmp_path):
    client.push(run)
    hub.fail("GET", "model.safetensors", "short")
    assert "Consistency check failed" in client.ask("download", repo_id=REPO, cache=tmp_path / "a")["error"]
    assert "done" in client.ask("download", repo_id=REPO, cache=tmp_path / "a")
    # A wrong bit in a file of the right length is found by the checksums alone, which the client compares on request.
    hub.fail("GET", "model.safetensors", "flip")
    assert "done" in client.ask("download", repo_id=REPO, cache=tmp_path / "b")
    assert client.ask("verify", repo_id=REPO, cache=tmp_path / "b") == {"done": ["model.safetensors"]}


def test_the_token_was_never_printed(client):
    # Last: what the client of this module has said in all the tests above.
    assert len(client.printed) > 30
    assert TOKEN not in client.output()
    assert not re.search(r"hf_wrong\b", client.output())
