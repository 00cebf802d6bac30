"""The card of a push: the Hub is asked before anything is made, and the text asked about is the text pushed."""

import json

import pytest
from push_client import REPO, contents

pytestmark = pytest.mark.hub

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
