"""What is not a finished run, or must not be seen, and tokens: refused before anything is sent."""

import pytest
from push_client import READ_ONLY, REPO, TOKEN, add_file, drop, edit, listed

pytestmark = pytest.mark.hub


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
