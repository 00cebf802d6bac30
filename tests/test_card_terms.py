"""License and language: as given, else as the base model's own card says, else unknown; never guessed."""

import json
import os
import subprocess
import sys

import pytest

from hf_transfer.card import inherited_terms

UNKNOWN = {"license": "unknown", "license_name": None, "license_link": None, "license_from": None, "language": []}


def beside(folder, card: str | None, license=None, language=None):
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
    return inherited_terms(str(folder), None, False, license, language)


def front(lines: str) -> str:
    return f"---\n{lines}\n---\n\n# Net\n"


def test_a_card_beside_the_checkpoint_is_read(tmp_path):
    terms, notes = beside(tmp_path, front("license: apache-2.0\nlanguage: [en, zh]"))
    assert terms == {**UNKNOWN, "license": "apache-2.0", "license_from": "base model", "language": ["en", "zh"]}
    assert notes == []


def test_what_is_given_wins(tmp_path):
    card = front("license: apache-2.0\nlanguage: en")
    terms, _ = beside(tmp_path, card, license="mit")
    assert (terms["license"], terms["license_from"], terms["language"]) == ("mit", "given", ["en"])
    terms, _ = beside(tmp_path, card, language=["de"])
    assert (terms["license"], terms["language"]) == ("apache-2.0", ["de"])


@pytest.mark.parametrize(
    "card", [None, "# Net, without metadata", "---\n---\n", front("tags: [x]"), front("license: unknown")]
)
def test_a_card_that_says_nothing_leaves_it_unknown(tmp_path, card):
    assert beside(tmp_path, card) == (UNKNOWN, [])


@pytest.mark.parametrize(
    ("lines", "name", "link"),
    [
        ("license: other\nlicense_name: Acme Research 1.0\nlicense_link: https://acme.test/l", "acme-research-1.0",
         "https://acme.test/l"),
        ("license: other\nlicense_name: acme\nlicense_link: LICENSE", "acme", None),
        ("license: other", None, None),
        ("license: New-License 2", "new-license-2", None),
        ("license: [mit, apache-2.0]", "mit-apache-2.0", None),
    ],
)  # fmt: skip
def test_a_license_that_the_hub_has_no_id_for_keeps_its_name(tmp_path, lines, name, link):
    terms, notes = beside(tmp_path, front(lines))
    assert (terms["license"], terms["license_name"], terms["license_link"]) == ("other", name, link)
    assert notes == []


@pytest.mark.parametrize(
    ("line", "codes"),
    [("language: no", ["no"]), ("language: [no, nn]", ["no", "nn"]), ("language: multilingual", ["multilingual"])],
)
def test_languages(tmp_path, line, codes):
    assert beside(tmp_path, front(line))[0]["language"] == codes


def test_what_is_no_code_is_left_out_and_said(tmp_path):
    terms, notes = beside(tmp_path, front("language: [English, en, en-US]"))
    assert terms["language"] == ["en"]
    assert notes == ["language: the base model's card names English, en-US, which is no ISO 639 code; left out"]


@pytest.mark.parametrize("card", [front("a: [1"), front("- a list"), "\udcff".encode("utf-8", "surrogateescape")])
def test_a_card_that_cannot_be_read_is_said(tmp_path, card):
    if isinstance(card, bytes):
        (tmp_path / "README.md").write_bytes(card)
        card = None
    terms, notes = beside(tmp_path, card)
    assert terms == UNKNOWN
    (note,) = notes
    assert "beside the checkpoint could not be read" in note and "--license" in note and "\n" not in note
    assert beside(tmp_path, card, license="mit", language=["en"])[1] == []


# ---------------------------------------------------------------------------------------------------------------------
# From the Hub: the real client in a process of its own, which reads HF_ENDPOINT once

CLIENT = """
import json, sys
from hf_transfer.card import inherited_terms
for base, revision in json.loads(sys.argv[1]):
    print(json.dumps(inherited_terms(base, revision, True, None, None)))
"""


def ask(env: dict, *bases) -> list:
    words = [base if isinstance(base, tuple) else (base, None) for base in bases]
    command = [sys.executable, "-c", CLIENT, json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.hub
def test_the_card_of_a_model_on_the_hub(tmp_path):
    from hub_server import HubServer, User

    with HubServer({"hf_token": User("alice")}) as hub:
        first = hub.create("org/net").add("a", {"README.md": front("license: mit\nlanguage: de").encode()})
        hub.create("org/net").add("b", {})
        hub.repos["org/net"].commits.insert(1, first)
        hub.repos["org/net"].add("c", {"README.md": front("license: gpl-3.0").encode()})
        hub.create("org/bare")
        env = hub.env(None, tmp_path / "home")
        found = ask(env, "org/net", ("org/net", first.oid), "org/bare", "org/absent")
        assert [(terms["license"], terms["language"]) for terms, _ in found] == [
            ("gpl-3.0", []), ("mit", ["de"]), ("unknown", []), ("unknown", []),
        ]  # fmt: skip
        assert [bool(notes) for _, notes in found] == [False, False, False, True]
        hub.fail("HEAD", "/resolve/", 403, times=None, message="gated")
        hub.fail("GET", "/resolve/", 403, times=None, message="gated")
        ((terms, notes),) = ask(env, "org/bare")
        assert terms["license"] == "unknown" and "of org/bare could not be read (" in notes[0]
    (cached, other) = ask({**env, "HF_HUB_OFFLINE": "1"}, "org/net", "org/other")
    assert cached[0]["license"] == "gpl-3.0"
    assert "(offline)" in other[1][0]
