"""Push a finished run with the real client to a server on 127.0.0.1: what arrives, and what stays."""

import json

import pytest
from push_client import CANARY, CODE, REPO, TOKEN, contents, edit, listed, write_json

pytestmark = pytest.mark.hub


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
