"""The demo page: what it says, what it answers over HTTP, and how it looks to a real browser."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mini import make_texts, write_csv
from PIL import Image

import hf_transfer
from hf_transfer import (
    FrozenFeatures,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
    cli,
    load,
    run,
)
from hf_transfer.results import RunResult

ROOT = Path(hf_transfer.__file__).resolve().parents[1]
TEXT = "a great film with a charming story"


@pytest.fixture(scope="module")
def texts(tmp_path_factory, mini_text, reviews) -> Path:
    recipe = Recipe(
        summary="Good & <bad> films",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LinearHead(),
        strategy=FrozenFeatures(),
    )
    return run(recipe, tmp_path_factory.mktemp("runs") / "texts", name="text/linear_probe").output_dir


@pytest.fixture(scope="module")
def photo_run(tmp_path_factory, mini_image, photos) -> Path:
    """A grey net: transformers' own image pipeline would feed it three channels."""
    recipe = Recipe(
        summary="Dark and light",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(mini_image), image_size=64, in_chans=1),
        head=LinearHead(),
        strategy=FrozenFeatures(),
    )
    return run(recipe, tmp_path_factory.mktemp("runs") / "photos").output_dir


@pytest.fixture(autouse=True, scope="module")
def gradio_here(tmp_path_factory):
    """Gradio makes a folder of its own when it is imported; here it goes with the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        import gradio  # noqa: F401

        yield


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The page's settings end with a process; here they must end with a test."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


def ask(address: str, *given) -> tuple[dict | None, str]:
    """What the page answers: the result, and the text of its message."""
    from gradio_client import Client, handle_file

    given = [handle_file(str(item)) if isinstance(item, Path) else item for item in given]
    result, message, _ = Client(address, verbose=False).predict(*given, api_name="/predict")
    value = message["value"] if isinstance(message, dict) else message
    return result or None, re.sub(r"<[^>]+>", "", value or "")


def shares(result: dict) -> dict[str, float]:
    return {one["label"]: one["confidence"] for one in result["confidences"]}


# ---------------------------------------------------------------------------------------------------------------------
# Texts and images


def test_a_text_gets_the_very_probabilities_of_the_model(texts):
    from hf_transfer.web.serve import running

    expected = load(texts).predict([TEXT])[0]
    with running(texts) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        result, message = ask(address, TEXT)
        assert result["label"] == expected.label and message == ""
        assert shares(result) == pytest.approx(expected.probabilities, abs=1e-6)
        assert ask(address, "  ") == (None, "Type a text first.")
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(address.split(":")[-1].strip("/"))), 1):
        pass


def test_an_image_is_read_by_our_own_predictor(photo_run, photos, tmp_path):
    from hf_transfer.web.serve import running

    picture, broken = photos / "dark" / "002.png", tmp_path / "broken.png"
    broken.write_bytes(picture.read_bytes()[:60])
    expected = load(photo_run).predict([picture])[0]
    with running(photo_run) as address:
        result, _ = ask(address, picture)
        assert shares(result) == pytest.approx(expected.probabilities, abs=1e-6)
        assert ask(address, None) == (None, "Choose an image first.")
        assert ask(address, broken) == (None, "This file cannot be read as an image.")


def test_what_the_page_says_of_the_model(texts):
    from hf_transfer.web.page import page_of

    result = RunResult.load(texts)
    page = page_of(result)
    assert page["title"] == "Good & <bad> films"
    low, high = result.headline["ci95"]
    count = result.data["data"]["test"]
    value = result.headline["value"]
    assert page["about"][0] == "Recipe text/linear_probe on mini-bert."
    assert page["about"][1] == f"Test accuracy {value:.4f} (95% interval {low:.4f} to {high:.4f}) on {count} rows."
    assert page["about"][-1] == "2 classes: bad, good."
    assert (page["inputs"], page["max_length"]) == (["Text"], 32)


def test_a_page_shows_rows_of_the_test_split_and_never_of_train(texts, reviews, capsys):
    from hf_transfer.data import load_data
    from hf_transfer.web.examples import from_test

    predictor = load(texts)
    splits = load_data(predictor.recipe.data, progress=False)
    found = from_test(predictor.recipe, RunResult.load(texts))
    assert len(found.texts) == 6
    assert {text for (text,) in found.texts} <= set(splits.test["text"])
    labels = dict(zip(splits.test["text"], splits.test["label"], strict=True))
    assert {labels[text] for (text,) in found.texts[:2]} == {0, 1}  # every class is seen


def test_a_page_without_the_runs_data_says_how_to_get_examples(texts, tmp_path):
    from dataclasses import replace

    from hf_transfer.web.examples import from_test

    recipe = load(texts).recipe
    gone = replace(recipe, data=replace(recipe.data, train=str(tmp_path / "gone.csv")))
    found = from_test(gone, RunResult.load(texts))
    assert found.texts == []
    assert "gone.csv) are not on this disk; name some with --examples FILE" in found.note


def test_named_examples_are_spread_over_the_file(texts, tmp_path):
    from hf_transfer.web.examples import named

    rows = write_csv(tmp_path / "try.csv", ["body"], [[f"film {number}"] for number in range(60)])
    found = named(RunResult.load(texts), str(rows))
    assert found.texts == [[f"film {number}"] for number in range(0, 60, 10)]
    with pytest.raises(UserError, match="no such file"):
        named(RunResult.load(texts), str(tmp_path / "none.csv"))


def test_pictures_keep_nothing_but_their_pixels(photo_run, tmp_path):
    from hf_transfer.web.examples import named

    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "a place at home", "canaryuser"  # description, artist
    Image.new("RGB", (2000, 900), "red").save(tmp_path / "in" / "a.jpg", exif=exif, comment=b"canaryuser")
    found = named(RunResult.load(photo_run), str(tmp_path / "in"))
    (name,) = found.save(tmp_path)
    saved = Image.open(tmp_path / name)
    assert b"canaryuser" in (tmp_path / "in" / "a.jpg").read_bytes()
    assert b"canaryuser" not in (tmp_path / name).read_bytes() and not saved.getexif()
    assert saved.size == (1024, 461) and saved.mode == "L"


# ---------------------------------------------------------------------------------------------------------------------
# Other tasks: the page alone


def page(**changes) -> dict:
    plain = {
        "title": "Films", "about": ["Test accuracy 0.9"], "kind": "text", "inputs": ["Text"],
        "answer": "Probabilities",
        "problem_type": "single_label_classification", "max_length": 32, "examples": [["a"]],
    }  # fmt: skip
    return {**plain, **changes}


@pytest.fixture
def shown(monkeypatch):
    """Serve a page with an answer of our own."""
    from hf_transfer.web import app

    opened = []

    def show(described: dict, predict) -> str:
        opened.append(app.build(described, predict))
        app.launch(opened[-1], server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
        return opened[-1].local_url

    yield show
    for blocks in opened:
        blocks.close(verbose=False)


def test_a_pair_needs_both_texts(shown):
    seen = []
    address = shown(
        page(inputs=["premise", "hypothesis"], examples=[["a", "b"]]), lambda given: seen.append(given) or {"x": 1.0}
    )
    assert ask(address, "one", "") == (None, "Type both texts first.")
    assert ask(address, "one", "two")[0]["label"] == "x"
    assert seen == [("one", "two")]


def test_a_number_and_several_labels(shown):
    number = shown(page(problem_type="regression", answer="stars"), lambda given: 3.14159)
    assert ask(number, "text")[0]["label"] == "3.142"
    labels = {"fun": 0.9, "long": 0.8}  # no distribution: each label has its own
    several = shown(page(problem_type="multi_label_classification"), lambda given: labels)
    assert shares(ask(several, "text")[0]) == labels


def test_what_the_model_refuses_is_told_in_the_page(shown):
    from hf_transfer.web.app import Refused

    def predict(given):
        raise Refused("<b>too odd</b>")

    assert ask(shown(page(), predict), "text") == (None, "&lt;b&gt;too odd&lt;/b&gt;")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "I;16", "1", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_space_reads_colours_as_training_did(mode, channels, tmp_path):
    import numpy as np

    from hf_transfer.web.app import read_image

    draw = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(draw.integers(0, 65536, (9, 7)).astype("uint16"))
    else:
        image = Image.fromarray(draw.integers(0, 256, (9, 7, 4)).astype("uint8"), "RGBA").convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    ours = ImageBackbone("x", in_chans=channels).as_colours(Image.open(path))
    assert read_image(str(path), channels).mode == ours.mode
    assert np.array_equal(np.asarray(read_image(str(path), channels)), np.asarray(ours))


@pytest.mark.parametrize("pair", [False, True])
def test_a_space_computes_what_the_predictor_does(pair, tmp_path, mini_text, mini_image, photos):
    from hf_transfer.web.app import Model
    from hf_transfer.web.page import page_of

    rows = [(text, text[::-1], label) for text, label in make_texts(60)]
    table = write_csv(tmp_path / "rows.csv", ["first", "second", "label"], rows)
    recipe = Recipe(
        summary="x",
        data=TextClassification(str(table), text="first", text_pair="second" if pair else None),
        backbone=TextBackbone(str(mini_text), max_length=8),
        head=LSTMHead(4, 1),
        strategy=FrozenFeatures(),
    )
    result = run(recipe, tmp_path / "out", max_steps=1)
    described = page_of(result)
    assert described["inputs"] == (["first", "second"] if pair else ["Text"])
    model = Model({**described, "model": str(tmp_path / "out"), "revision": None, "trust_remote_code": False})
    given = (TEXT * 3, "awful and sad") if pair else (TEXT * 3,)
    expected = load(tmp_path / "out").predict([given if pair else given[0]])[0]
    assert model(given) == pytest.approx(expected.probabilities, abs=1e-6)


def test_a_space_computes_grey_images_as_the_predictor_does(photo_run, photos):
    from hf_transfer.web.app import Model
    from hf_transfer.web.page import page_of

    described = page_of(RunResult.load(photo_run))
    model = Model({**described, "model": str(photo_run), "revision": None, "trust_remote_code": False})
    picture = str(photos / "light" / "001.png")
    assert model([picture]) == pytest.approx(load(photo_run).predict([picture])[0].probabilities, abs=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes


def refused(capsys, *words) -> str:
    assert cli.main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def test_help_names_the_flags(capsys):
    for command, flags in (("demo", ("--port", "--open", "--examples")), ("push", ("--space", "--examples"))):
        assert cli.main([command, "--help"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"usage: hf-transfer {command} OUT") and all(f" {flag}" in out for flag in flags)
    assert cli.main([]) == 0
    assert "\n  demo OUT " in capsys.readouterr().out


def test_a_port_that_is_taken_or_none(texts, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        line = refused(capsys, "demo", texts, "--port", taken)
    assert line == f"error: port {taken} is taken by another program; choose one with --port N\n"
    assert "--port is 70000; allowed: 1 to 65535" in refused(capsys, "demo", texts, "--port", 70000)


def test_without_gradio_the_line_says_what_to_install(texts, capsys, monkeypatch):
    from hf_transfer.web import serve

    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert "pip install 'hf-transfer-recipes[web]'" in refused(capsys, "demo", texts)


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert "is not the output folder of a finished run" in refused(capsys, "demo", tmp_path)
    assert "name the output folder of a run first" in refused(capsys, "demo")


# ---------------------------------------------------------------------------------------------------------------------
# In a browser


@pytest.fixture
def browser():
    """Chromium without a window; gives the driver, and checks in the end that nothing was fetched from elsewhere."""
    chromium = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    program = shutil.which("chromedriver")
    if not chromium or not program:
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1100,900"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, Service(program))
    yield driver
    entries = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    driver.quit()
    asked = [one["params"]["request"]["url"] for one in entries if one["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if not re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url)] == []


class Page:
    """`hf-transfer demo` as a user starts it."""

    def __init__(self, folder: Path, log: Path):
        self.log = log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hf_transfer.cli", "demo", str(folder)],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        self.address = None
        for line in self.process.stdout:
            if found := re.search(r"the page is at (http://\S+)", line):
                self.address = found[1]
                break
        assert self.address, log.read_text()

    def end(self) -> tuple[int, str]:
        """Ctrl-C; the exit status, and what was said on stderr."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        return self.process.returncode, self.log.read_text()


@pytest.fixture
def opened(tmp_path):
    pages = []

    def start(folder: Path) -> Page:
        pages.append(Page(folder, tmp_path / "stderr"))
        return pages[-1]

    yield start
    for one in pages:
        one.process.kill()
        one.process.wait()


def find(driver, css: str, text: str = ""):
    """Wait for an element that is shown and holds a text."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def look(driver):
        return next(
            (e for e in driver.find_elements(By.CSS_SELECTOR, css) if e.is_displayed() and text in e.text), None
        )

    return WebDriverWait(driver, 30, ignored_exceptions=(StaleElementReferenceException,)).until(look)


# As a person drags a file from the desktop onto the page.
DROP = """
const bytes = Uint8Array.from(atob(arguments[1]), (c) => c.charCodeAt(0));
const files = new DataTransfer();
files.items.add(new File([bytes], "dropped.png", {type: "image/png"}));
for (const kind of ["dragenter", "dragover", "drop"])
    arguments[0].dispatchEvent(new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true}));
"""


@pytest.mark.slow
def test_typed_clicked_and_read(browser, opened, texts):
    started = opened(texts)
    browser.get(started.address)
    assert find(browser, "h1").text == "Good & <bad> films"
    assert "Test accuracy" in find(browser, ".about").text
    find(browser, "#go").click()
    assert find(browser, "#message").text == "Type a text first."
    find(browser, "textarea").send_keys(TEXT)
    find(browser, "#go").click()
    expected = load(texts).predict([TEXT])[0]
    assert find(browser, "#answer h2", expected.label).text == expected.label
    shown = find(browser, "#answer").text
    assert all(f"{round(share * 100)}%" in shown for share in expected.probabilities.values())
    assert all(f"{name} {share:.4f}" in find(browser, "#exact").text for name, share in expected.probabilities.items())
    assert started.end() == (0, "")


@pytest.mark.slow
def test_dropped_and_read(browser, opened, photo_run, photos):
    started = opened(photo_run)
    browser.get(started.address)
    for name in ("dark", "light"):
        picture = photos / name / "005.png"
        if name == "light":
            browser.refresh()
        place = find(browser, "button[aria-label*='upload'], [data-testid='image'] button")
        browser.execute_script(DROP, place, base64.b64encode(picture.read_bytes()).decode())
        expected = load(photo_run).predict([picture])[0]
        assert find(browser, "#answer h2", expected.label).text == expected.label
    assert started.end() == (0, "")
