"""A push that fails: one line, nothing lost, and the repeat succeeds."""

import re

import pytest
from push_client import READ_ONLY, REPO, TOKEN, contents, listed

pytestmark = pytest.mark.hub

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


def test_the_token_was_never_printed(client):
    # Last: what the client of this module has said in all the tests above.
    assert len(client.printed) > 30
    assert TOKEN not in client.output()
    assert not re.search(r"hf_wrong\b", client.output())
