"""Push a run's demo page as a Space with the real client, and run the Space as a stranger's machine would."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer, User
from PIL import Image
from stranger import WITHOUT_US

from hf_transfer import (
    FrozenFeatures,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    Recipe,
    TextBackbone,
    TextClassification,
    load,
    run,
)

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_canaryToken0123456789"
MODEL, SPACE = "alice/films", "spaces/alice/films-demo"
TEXT = "a great film with a charming story"

pytestmark = pytest.mark.hub

# Words of one command line after another; what is printed for each, and its exit status.
WORKER = """
import contextlib, io, json, sys
from hf_transfer import cli

for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(json.loads(line))
    print("ANSWER" + json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""

# The Space's own app.py on a machine without our package: it is asked once, over HTTP, and ends.
SPACE_HOST = (
    WITHOUT_US
    + """
import json, runpy, sys
sys.path[:] = [entry for entry in sys.path if entry not in ("", sys.argv[1])]
import gradio
from gradio_client import Client, handle_file

launch = gradio.Blocks.launch
def launch_and_ask(blocks, **settings):
    launch(blocks, **{**settings, "server_name": "127.0.0.1", "prevent_thread_lock": True, "quiet": True})
    given = json.loads(sys.argv[2])
    given = handle_file(given) if given.endswith(".png") else given
    print("ANSWER" + json.dumps(Client(blocks.local_url, verbose=False).predict(given, api_name="/predict")[0]))
    blocks.close(verbose=False)

gradio.Blocks.launch = launch_and_ask
runpy.run_path("app.py", run_name="__main__")
"""
)


class Shell:
    """A process in which `hf-transfer` is called again and again, its settings those of one machine."""

    def __init__(self, env: dict[str, str], log: Path):
        self.log = log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, cwd=ROOT, env=env,
            )  # fmt: skip

    def __call__(self, *words) -> tuple[int, str, str]:
        self.process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER"):
                return tuple(json.loads(line.removeprefix("ANSWER")))
        raise AssertionError(f"the process died: {self.log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def hub():
    with HubServer({TOKEN: User("alice", orgs=("acme",))}) as server:
        yield server


@pytest.fixture(autouse=True)
def healthy(hub):
    hub.heal()
    hub.repos.clear()
    yield
    hub.heal()


@pytest.fixture(scope="module")
def shell(hub, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    env = {**os.environ, **hub.env(TOKEN, home / "hf"), "HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    made = Shell(env, tmp_path_factory.mktemp("log") / "stderr")
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, mini_text, reviews) -> Path:
    """A run whose head brings code."""
    recipe = Recipe(
        summary="Films: good or bad",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LSTMHead(4, 1),
        strategy=FrozenFeatures(),
    )
    return run(recipe, tmp_path_factory.mktemp("runs") / "films", max_steps=3).output_dir


@pytest.fixture(scope="module")
def photo_run(tmp_path_factory, mini_image, photos) -> Path:
    recipe = Recipe(
        summary="Dark and light",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(mini_image), image_size=64),
        head=LinearHead(),
        strategy=FrozenFeatures(),
    )
    return run(recipe, tmp_path_factory.mktemp("runs") / "photos").output_dir


def refused(shell, *words) -> str:
    status, _, line = shell(*words)
    assert status == 2 and line.count("\n") == 1, line
    assert TOKEN not in line
    return line


def answer_of(hub, repo_id: str, given: str, place: Path, token: str | None = None) -> dict:
    """Download a Space, start it on another machine, and ask it."""
    for name, content in hub.repos[repo_id].files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    env = {**os.environ, **hub.env(token, place / "hf"), "HF_MODULES_CACHE": str(place / "modules")}
    env |= {"GRADIO_TEMP_DIR": str(place / "gradio"), "GRADIO_ANALYTICS_ENABLED": "False"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", SPACE_HOST, str(ROOT), json.dumps(given)],
        cwd=place, env=env, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.split("ANSWER")[1])
    return {one["label"]: one["confidence"] for one in found["confidences"]}


def test_a_space_needs_the_hub_alone_and_says_what_the_model_says(hub, shell, folder, tmp_path):
    status, out, err = shell("push", folder, MODEL, "--space")
    assert (status, err) == (0, "")
    assert out.splitlines()[1] == f"Space: {hub.url}/spaces/alice/films-demo"
    files = hub.repos[SPACE].files
    assert sorted(files) == ["README.md", "app.py", "page.json", "requirements.txt"]
    assert files["app.py"] == (ROOT / "hf_transfer/web/app.py").read_bytes()
    described = json.loads(files["page.json"])
    assert described["model"] == MODEL
    assert described["revision"] == hub.repos[MODEL].commits[-1].oid
    assert described["trust_remote_code"] is True
    assert len(described["examples"]) == 3
    expected = load(folder).predict([TEXT])[0].probabilities
    assert answer_of(hub, SPACE, TEXT, tmp_path) == pytest.approx(expected, abs=1e-5)


def test_the_spaces_readme_says_how_to_run_it(hub, shell, folder):
    import tomllib

    import yaml

    shell("push", folder, MODEL, "--space")
    files = hub.repos[SPACE].files
    _, block, text = files["README.md"].decode().split("---\n", 2)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (gradio,) = project["optional-dependencies"]["web"]
    metadata = yaml.safe_load(block)
    assert metadata == {
        "title": "Films: good or bad", "sdk": "gradio", "sdk_version": gradio.removeprefix("gradio>="),
        "python_version": "3.11", "app_file": "app.py", "license": "apache-2.0", "models": [MODEL],
        "tags": ["hf-transfer-recipes"], "pinned": False,
    }  # fmt: skip
    assert hub.repos[MODEL].commits[-1].oid in text
    wanted = [line for line in project["dependencies"] if line.split(">=")[0] in ("torch", "transformers")]
    assert files["requirements.txt"].decode().splitlines() == wanted
    (validated,) = [r for r in hub.seen("POST", "/validate-yaml") if json.loads(r.body)["repoType"] == "space"]
    assert "sdk: gradio" in json.loads(validated.body)["content"]


def test_again_makes_no_commit_and_a_new_model_makes_one(hub, shell, folder):
    shell("push", folder, MODEL, "--space")
    status, out, _ = shell("push", folder, MODEL, "--space")
    assert status == 0
    assert out.splitlines()[1] == f"Space: {hub.url}/spaces/alice/films-demo (nothing has changed)"
    space = hub.repos[SPACE]
    assert len(space.commits) == 2
    model = hub.repos[MODEL]
    model.add("by hand", {**model.commits[-1].files, "extra.txt": b"x"})
    shell("push", folder, MODEL, "--space")
    assert len(space.commits) == 3
    assert json.loads(space.files["page.json"])["revision"] == model.commits[-1].oid


def test_pictures_of_ones_own_go_along_and_old_ones_go(hub, shell, photo_run, photos, tmp_path):
    words = ("push", photo_run, "alice/photos", "--space", "acme/show")
    assert shell(*words, "--examples", photos / "dark")[0] == 0
    space = hub.repos["spaces/acme/show"]
    pictures = [name for name in space.files if name.startswith("examples/")]
    assert pictures == [f"examples/{number}.png" for number in range(6)]
    described = json.loads(space.files["page.json"])
    assert described["examples"] == pictures and described["trust_remote_code"] is False
    assert "timm>=" in space.files["requirements.txt"].decode()
    picture = str(photos / "light" / "004.png")
    expected = load(photo_run).predict([picture])[0].probabilities
    assert answer_of(hub, "spaces/acme/show", picture, tmp_path) == pytest.approx(expected, abs=1e-5)
    Image.open(picture).save(tmp_path / "one.png")
    space.add("by hand", {**space.commits[-1].files, "examples/mine.txt": b"mine"})
    assert shell(*words, "--examples", tmp_path / "one.png")[0] == 0
    assert [name for name in space.files if name.startswith("examples/")] == ["examples/0.png", "examples/mine.txt"]


def test_nothing_of_the_data_is_shown_unasked(hub, shell, photo_run, folder, reviews):
    shell("push", photo_run, "alice/photos", "--space")
    shell("push", folder, MODEL, "--space")
    assert json.loads(hub.repos["spaces/alice/photos-demo"].files["page.json"])["examples"] == []
    sent = b"".join(b"".join(repo.files.values()) for name, repo in hub.repos.items() if name.startswith("spaces/"))
    rows = [line.rpartition(",")[0].encode() for line in reviews.read_text().splitlines()[1:]]
    assert len(rows) == 120 and not any(row in sent for row in rows)
    for secret in (TOKEN, str(ROOT), str(folder.parent), os.path.expanduser("~") + "/"):
        assert secret.encode() not in sent


def test_a_private_model_gets_a_private_space_and_is_told_to_need_a_secret(hub, shell, folder):
    status, out, _ = shell("push", folder, MODEL, "--hub_private_repo", "true", "--space")
    assert status == 0 and hub.repos[SPACE].private
    assert out.splitlines()[2].startswith("the model is private: give the Space a secret HF_TOKEN")
    assert "`HF_TOKEN`" in hub.repos[SPACE].files["README.md"].decode()
    line = refused(shell, "push", folder, MODEL, "--space", "--hub_private_repo", "false")
    assert "exists and is private" in line


def test_a_space_that_cannot_read_its_model_says_what_it_needs(hub, shell, folder, tmp_path):
    shell("push", folder, MODEL, "--hub_private_repo", "true", "--space")
    with pytest.raises(AssertionError, match="give this Space a secret named HF_TOKEN"):
        answer_of(hub, SPACE, TEXT, tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# What can fail


def test_what_cannot_be_a_space_is_told_before_the_model_is_pushed(hub, shell, folder, tmp_path):
    assert "'a/b/c'" in refused(shell, "push", folder, MODEL, "--space", "a/b/c")
    missing = refused(shell, "push", folder, MODEL, "--space", "--examples", tmp_path / "none.csv")
    assert "there is no such file or folder" in missing
    assert "add --space" in refused(shell, "push", folder, MODEL, "--examples", "rows.csv")
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("method", "part", "how", "words", "expected"),
    [
        ("GET", "/api/spaces/", 401, {}, "does not accept the token"),
        ("POST", "/api/spaces/", 403, {"message": f"bad {TOKEN}"}, "bad [token]"),
        ("GET", "/api/spaces/", 429, {"headers": {"Retry-After": "17"}}, "wait 17 seconds"),
        ("POST", "films-demo/commit/", "cut", {}, "broke off"),
        ("POST", "films-demo/commit/", 500, {}, "try again later"),
    ],
)
def test_a_failure_is_one_line_and_the_repeat_succeeds(hub, shell, folder, method, part, how, words, expected):
    hub.fail(method, part, how, **words)
    line = refused(shell, "push", folder, MODEL, "--space")
    assert expected in line
    assert re.search(rf"the model is at \S+, and it is safe to push again: `.* {MODEL} --space", line)
    assert shell("push", folder, MODEL, "--space")[0] == 0
    assert "app.py" in hub.repos[SPACE].files


def test_an_account_that_may_have_no_space_is_told_what_it_takes(hub, shell, folder):
    shell("push", folder, MODEL)
    hub.fail("POST", "/repos/create", 402, message="Payment required")
    line = refused(shell, "push", folder, MODEL, "--space")
    assert "the Hub makes no Gradio Space for this account (Payment required)" in line
    assert "`hf-transfer demo`" in line


def test_a_space_that_shows_something_else_is_left_alone(hub, shell, folder):
    other = hub.create(SPACE)
    other.add("mine", {**other.commits[-1].files, "app.py": b"print()"})
    assert "exists and shows something else" in refused(shell, "push", folder, MODEL, "--space")
    assert other.files == {"app.py": b"print()"}
