"""The pictures of a card: drawn when there is something to draw, readable, and never with boxes for letters."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_transfer.card import draw, fonts
from hf_transfer.card.fonts import font_for

_spec = importlib.util.spec_from_file_location("sample_results", Path(__file__).with_name("test_results.py"))
_samples = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_samples)
make, regression = _samples.make, _samples.regression

HISTORY = [
    {"epoch": 1.0, "step": 5, "train_loss": 0.9, "validation": {"loss": 0.8, "accuracy": 0.6}},
    {"epoch": 2.0, "step": 10, "train_loss": 0.5, "validation": {"loss": 0.6, "accuracy": 0.8}},
]


def confused(classes: int, names=None):
    matrix = (np.eye(classes, dtype=int) * 4000 + 1).tolist()
    return make(labels=names or [f"class {i}" for i in range(classes)], confusion=matrix)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_what_there_is_is_drawn(tmp_path):
    found = draw(make(confusion=[[9, 1], [2, 8]], history=HISTORY), tmp_path)
    assert found == {
        "confusion_matrix": {"file": "confusion_matrix.png", "labels": "names"},
        "training_curve": {"file": "training_curve.png"},
    }
    assert {path.name for path in tmp_path.iterdir()} == {"confusion_matrix.png", "training_curve.png"}


@pytest.mark.parametrize(
    "result",
    [
        make(),
        make(confusion=None, history=[]),
        regression(confusion=None),
        make(history=[{"epoch": 1.0, "step": 2, "learning_rate": 0.1, "train_loss": float("nan")}]),
        make(history=[{"epoch": 1.0, "step": 5, "validation": {"mse": 2.0}}]),
        confused(51),
    ],
)
def test_what_there_is_not_is_not_drawn(tmp_path, result):
    assert draw(result, tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("classes", [2, 11, 50])
def test_every_cell_of_a_matrix_can_be_seen(tmp_path, classes):
    draw(confused(classes), tmp_path)
    image = pixels(tmp_path / "confusion_matrix.png").astype(int)
    # The diagonal is the only dark blue, and its cells are a sixth of an inch wide at least.
    dark = (image[:, :, 2] - image[:, :, 0] > 50) & (image[:, :, 0] < 60)
    columns = np.flatnonzero(dark[:, : int(image.shape[1] * 0.97)].any(axis=0))
    assert np.ptp(columns) >= 150 / 6 * classes * 0.9
    assert max(image.shape) < 2200


def test_long_names_are_cut_and_odd_ones_are_no_formulas(tmp_path):
    names = ["a" * 300, "$x^2$ and $", "line\nbreak\ttab", "$\\frac{1}$", "under_score"]
    assert draw(confused(5, names), tmp_path)["confusion_matrix"]["labels"] == "names"
    assert max(pixels(tmp_path / "confusion_matrix.png").shape) < 1500


def test_a_class_without_rows_is_drawn(tmp_path):
    draw(make(labels=["a", "b"], confusion=[[3, 1], [0, 0]]), tmp_path)
    assert (tmp_path / "confusion_matrix.png").stat().st_size > 1000


@pytest.fixture
def only_the_own_fonts(monkeypatch):
    from matplotlib.font_manager import fontManager

    own = [entry for entry in fontManager.ttflist if "mpl-data" in entry.fname]
    assert own
    monkeypatch.setattr(fontManager, "ttflist", own)


@pytest.mark.filterwarnings("error:Glyph")
def test_letters_that_no_font_has_become_numbers(tmp_path, only_the_own_fonts):
    names = ["正面", "负面", "plain"]
    assert font_for(names) is None
    found = draw(confused(3, names), tmp_path)
    assert found["confusion_matrix"]["labels"] == "numbers"
    draw(confused(3, ["1", "2", "3"]), tmp_path / "..")
    assert (pixels(tmp_path / "confusion_matrix.png") == pixels(tmp_path.parent / "confusion_matrix.png")).all()


@pytest.mark.filterwarnings("error:Glyph")
def test_a_font_of_the_system_that_has_the_letters_is_taken(tmp_path, monkeypatch):
    from matplotlib.font_manager import FontEntry, fontManager

    path = tmp_path / "letters.ttf"
    write_font(path, "正面负 .abcdefghijklmnopqrstuvwxyz0123456789")
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    entries = [FontEntry(fname=str(one), name=one.stem) for one in (broken, path)]
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist[:0], *entries])
    assert font_for(["正面", "负面"]).get_file() == str(path)
    assert font_for(["plain"]).get_file() != str(path)
    assert draw(confused(2, ["正面", "负面"]), tmp_path)["confusion_matrix"]["labels"] == "names"
    monkeypatch.setattr(fonts, "_NO_LETTERS", ("letters",))
    assert font_for(["正面", "负面"]) is None


def write_font(path: Path, characters: str) -> None:
    """A font in which every character is a square."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((900, 0), (900, 800), (100, 800)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"g{ord(one)}" for one in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(one): f"g{ord(one)}" for one in characters})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "letters", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=100)
    builder.setupPost()
    builder.save(path)


@pytest.mark.parametrize(
    "history",
    [
        HISTORY[:1],
        [{"epoch": 1.0, "step": 5, "train_loss": 0.9}],
        [{"epoch": e / 10, "step": e, "train_loss": 1 / e} for e in range(1, 200)],
        [*HISTORY, {"epoch": 3.0, "step": 15, "train_loss": None, "validation": {"loss": float("inf")}}],
        [{"epoch": 1.0, "step": 5, "validation": {"accuracy": 0.5}}],
    ],
)
def test_curves_of_every_kind(tmp_path, history):
    assert "training_curve" in draw(make(history=history, fit={"best_step": 5}), tmp_path)
    assert pixels(tmp_path / "training_curve.png").std() > 5


def test_the_kept_epoch_is_marked(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    draw(make(history=HISTORY, fit={"best_step": 10}), tmp_path / "a")
    draw(make(history=HISTORY, fit={"best_step": None}), tmp_path / "b")
    marked, plain = (pixels(tmp_path / one / "training_curve.png") for one in "ab")
    assert marked.shape == plain.shape and (marked != plain).any()


def test_the_same_result_gives_the_same_bytes_without_a_trace_of_where(tmp_path):
    result = make(confusion=[[9, 1], [2, 8]], history=HISTORY)
    for name in ("ada", "bob"):
        (tmp_path / name).mkdir()
        draw(result, tmp_path / name)
    for name in ("confusion_matrix.png", "training_curve.png"):
        first, second = ((tmp_path / one / name).read_bytes() for one in ("ada", "bob"))
        assert first == second
        assert first.startswith(b"\x89PNG")
        assert str(tmp_path).encode() not in first and b"Matplotlib" not in first


def test_pyplot_is_never_imported(tmp_path):
    """It would choose a backend for the whole process and keep every figure."""
    (tmp_path / "results.json").write_text(
        json.dumps({**make().data, "confusion": [[1, 0], [0, 1]], "history": HISTORY})
    )
    (tmp_path / "recipe.json").write_text(json.dumps(make().recipe))
    code = (
        "import sys; from pathlib import Path; from hf_transfer.results import RunResult; "
        "from hf_transfer.card import draw; folder = Path(sys.argv[1]); "
        "assert len(draw(RunResult.load(folder), folder)) == 2; "
        "print(sorted({'matplotlib.pyplot', 'torch', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
