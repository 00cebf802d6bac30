"""Copies for the public: what counts as a place on the author's disk, and what is found in a file's bytes."""

import json

import pytest

from hf_transfer import scrub
from hf_transfer.scrub import leak, local_paths, public_files

RECIPE = {
    "summary": "/r/jokes/ or not",
    "data": {"train": "reviews.csv", "validation": "validation", "test": "more/test.csv"},
    "backbone": {"checkpoint": "nets/mini"},
    "training": {"deepspeed": "/etc/zero/conf.json", "optim": "sgd"},
}


def test_local_are_the_sources_that_did_not_come_from_the_hub_and_absolute_paths():
    found = local_paths(RECIPE, {"labels": ["/m/01/"], "hub_sources": {"base_model": None, "datasets": []}})
    assert found == ["/etc/zero/conf.json", "more/test.csv", "reviews.csv", "nets/mini"]


def test_a_teacher_in_a_folder_is_local_however_deep_it_stands():
    teacher = {"kind": "Distillation", "checkpoint": "../teachers/large"}
    recipe = {"objective": {"kind": "WeightedSum", "objectives": [{"kind": "Supervised"}, teacher]}}
    assert local_paths(recipe, {}) == ["../teachers/large"]
    staged = {"strategy": [{"kind": "Stage", "objective": {**teacher, "checkpoint": "hub/teacher"}}], **recipe}
    assert local_paths(staged, {}) == ["../teachers/large"]


def test_with_a_configuration_a_data_set_is_still_of_the_hub():
    recipe = {"data": {"train": "nyu-mll/glue:sst2"}, "backbone": {"checkpoint": "bert/base"}}
    assert local_paths(recipe, {"hub_sources": {"base_model": "bert/base", "datasets": ["nyu-mll/glue"]}}) == []


@pytest.mark.parametrize(
    ("home", "text", "public"),
    [
        ("/home/al", "from /home/al/data/a.csv, twice", "from ./a.csv, twice"),
        ("/home/al", "in /home/al", "in ./al"),
        ("/home/al", "of /home/alice/a.csv", "of /home/alice/a.csv"),
        ("/root", "of /srv/root/a.csv and /root/b.csv", "of /srv/root/a.csv and ./b.csv"),
        ("/", "of /srv/a.csv", "of /srv/a.csv"),
    ],
)
def test_paths_below_home_are_shortened_in_text(tmp_path, monkeypatch, home, text, public):
    monkeypatch.setenv("HOME", home)
    (tmp_path / "recipe.json").write_text("{}")
    (tmp_path / "results.json").write_text(json.dumps({"notes": [text]}))
    content = public_files(tmp_path, ["results.json"])["results.json"]
    if public == text:
        assert content == tmp_path / "results.json"  # untouched files go as they are, to the byte
    else:
        assert json.loads(content) == {"notes": [public]}


@pytest.mark.parametrize(
    ("home", "content", "found"),
    [
        ("/home/al", b"x /home/al/a.csv", True),
        ("/home/al", b"/home/al", True),
        ("/home/al", b"/mnt/home/al/a.csv", False),
        ("/home/al", b"/mnt/home/al/ and '/home/al/'", True),
        ("/home/\u00e9lise", json.dumps("/home/\u00e9lise/a").encode(), True),
        ("/root", b"[PAD]\n/root\n", False),
        ("/root", b"in /root/data", True),
        ("/root", b"in /srv/root/data", False),
        ("/", b"in /srv/data", False),
    ],
)
def test_the_home_folder_is_found_in_bytes(monkeypatch, home, content, found):
    monkeypatch.setenv("HOME", home)
    assert leak(content, []) == ("the path of your home folder" if found else None)


@pytest.mark.parametrize("start", range(10, 20))
def test_a_token_is_found_wherever_a_large_file_is_cut(tmp_path, monkeypatch, start):
    monkeypatch.setattr(scrub, "_CHUNK", 16)
    (tmp_path / "weights").write_bytes(b"\0" * start + b"hf_secret0123456789" + b"\0" * 40)
    assert leak(tmp_path / "weights", ["hf_secret0123456789", ""]) == "your token"
    assert leak(tmp_path / "weights", ["hf_other00123456789"]) is None
