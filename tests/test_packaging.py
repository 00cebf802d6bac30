"""What pip installs: the package list, a wheel and an editable install."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def python_folders(root: Path, name: str) -> set[str]:
    folders = {path.parent for path in root.rglob("*.py")}
    return {".".join((name, *folder.relative_to(root).parts)) for folder in folders}


def test_the_package_list_equals_the_tree():
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    found = python_folders(ROOT / "hf_transfer", "hf_transfer") | python_folders(
        ROOT / "recipes", "hf_transfer.recipes"
    )
    assert set(listed) == found


def test_the_version_is_said_once_and_the_distribution_is_not_called_hf_transfer():
    import hf_transfer

    assert PROJECT["project"]["version"] == hf_transfer.__version__
    # PyPI's hf_transfer is another package; pip normalises - _ and . to the same name.
    assert re.sub(r"[-_.]+", "-", PROJECT["project"]["name"]).lower() != "hf-transfer"


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy of what a build needs, so that it leaves nothing in the working tree."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("hf_transfer", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(clone: Path, hook: str, target: Path) -> Path:
    """Call setuptools' build backend as pip does, and unpack the wheel into `target`."""
    target.mkdir()
    code = f"from setuptools import build_meta; build_meta.{hook}({str(target)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel = next(target.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    wheel.unlink()
    return target


def recipes_seen_from(site: Path, cwd: Path) -> list[str]:
    """What a fresh interpreter finds when `site` is its only site-packages folder.

    `-S` leaves the environment under test out, which may hold an install of its own; recipes need nothing from it.
    """
    code = (
        "import site, sys; site.addsitedir(sys.argv[1]);"
        "import hf_transfer, hf_transfer.recipes.text.linear_probe as probe;"
        "print(hf_transfer.__file__); print(probe.__file__); print(*hf_transfer.list_recipes())"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(site)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(clone, tmp_path_factory) -> Path:
    return build(clone, "build_wheel", tmp_path_factory.mktemp("wheel") / "site")


def test_a_wheel_holds_every_python_file(wheel):
    packed = {path.relative_to(wheel).as_posix() for path in (wheel / "hf_transfer").rglob("*.py")}
    tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hf_transfer").rglob("*.py")}
    tree |= {f"hf_transfer/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "recipes").rglob("*.py")}
    assert packed == tree


def test_a_wheel_shows_the_recipes(wheel, tmp_path):
    package, probe, names = recipes_seen_from(wheel, tmp_path)
    assert Path(package).parent == wheel / "hf_transfer"
    assert Path(probe) == wheel / "hf_transfer/recipes/text/linear_probe.py"
    assert "text/lstm_frozen" in names.split() and "vision/linear_probe" in names.split()
    entry_points = next(wheel.glob("*.dist-info")) / "entry_points.txt"
    assert "hf-transfer = hf_transfer.cli:main" in entry_points.read_text()


def test_an_editable_install_shows_the_recipes_of_the_clone(clone, tmp_path):
    site = build(clone, "build_editable", tmp_path / "site")
    package, probe, names = recipes_seen_from(site, tmp_path)
    assert Path(package).parent == clone / "hf_transfer"
    assert Path(probe) == clone / "recipes/text/linear_probe.py"
    assert "text/lstm_frozen" in names.split()
