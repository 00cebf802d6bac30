"""Finished runs, and a folder of the user's that every refused command must leave alone."""

import shutil
from pathlib import Path

import pytest
from mini import write_images
from refusals import contents, small

from hf_transfer import cli


@pytest.fixture(scope="session")
def trained(tmp_path_factory, mini_text, reviews):
    """A finished text run."""
    folder = tmp_path_factory.mktemp("trained") / "text"
    words = ["--data.train", reviews, "--data.text", "body", "--data.label", "stars", "--output_dir", folder]
    assert cli.main([str(word) for word in ("run", "text/linear_probe", *small(mini_text, text=True), *words)]) == 0
    return folder


@pytest.fixture(scope="session")
def trained_on_images(tmp_path_factory, mini_image, photos):
    folder = tmp_path_factory.mktemp("trained") / "images"
    words = ["--data.train", photos, "--output_dir", folder]
    assert cli.main([str(word) for word in ("run", "vision/linear_probe", *small(mini_image), *words)]) == 0
    return folder


@pytest.fixture
def out(trained, tmp_path, monkeypatch):
    """An output folder with a finished model and something of the user's, all of which the test must leave alone."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out"
    shutil.copytree(trained, folder)
    (folder / "notes.txt").write_text("mine")
    before = contents(folder)
    yield folder
    assert contents(folder) == before


@pytest.fixture
def pictures(tmp_path) -> Path:
    return write_images(tmp_path / "pictures", count=6)
