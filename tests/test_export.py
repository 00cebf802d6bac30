"""`hf-transfer export`: the file says what the model says at other batch sizes and lengths, and runs by its own lines.

Mini models; the embedded demo checkpoints and the matrix of heads, poolings and architectures: test_export_matrix.py.
"""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from exporting import LONG, TEXTS, command, compare_with_rows_alone, execute, settled, train_images, train_texts
from mini import mini_image_checkpoint, mini_text_checkpoint, write_csv
from PIL import Image

from hf_transfer import (
    LinearHead,
    LSTMHead,
    UserError,
    cli,
    load,
)
from hf_transfer.export.graph import signature, translate
from hf_transfer.export.rows import check_batches

ROOT = Path(__file__).resolve().parents[1]


def code_of(text: str) -> str:
    """The Python lines in what the command printed, or in the README beside the model."""
    return re.search(r"^import numpy.*?(?=\n\n`hf-transfer|\n```)", text, re.DOTALL | re.MULTILINE).group()


def not_translated_again(monkeypatch, exported: Path) -> None:
    """What was exported once stands for the translation, which takes seconds."""
    import onnx_ir

    from hf_transfer.export import graph

    class Program:
        model = onnx_ir.load(exported / "model.onnx")

        def save(self, path):
            shutil.copy(exported / "model.onnx", path)

    monkeypatch.setattr(graph, "translate", lambda *_: Program())


# ---------------------------------------------------------------------------------------------------------------------
# Texts, a BiLSTM


@pytest.fixture(scope="module")
def lively(tmp_path_factory) -> Path:
    """An encoder with weights so large that the states of two words differ as a trained one's do."""
    return mini_text_checkpoint(tmp_path_factory.mktemp("lively") / "checkpoint", initializer_range=0.3)


@pytest.fixture(scope="module")
def lstm(tmp_path_factory, lively, reviews) -> Path:
    return train_texts(tmp_path_factory.mktemp("export") / "lstm", lively, reviews, LSTMHead(8, 1))


@pytest.fixture(scope="module")
def told(lstm) -> str:
    """What the command says of its export in `lstm/onnx`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(["export", str(lstm), "--format", "onnx"])
    assert (code, err.getvalue()) == (0, "")
    return out.getvalue()


@pytest.fixture(scope="module")
def lstm_onnx(lstm, told) -> Path:
    return lstm / "onnx"


def test_the_command_shows_what_was_made(told, lstm_onnx):
    lines = told.splitlines()
    assert re.fullmatch(rf"exported  {lstm_onnx} \([\d.]+ MB, ONNX opset \d+\)", lines[0])
    axes = "int64 (batch, length)"
    assert lines[1] == f"reads     input_ids {axes}; attention_mask {axes}; token_type_ids {axes}"
    assert lines[2] == "says      logits float32 (batch, 2)"
    found = re.match(r"checked   largest difference to PyTorch (\S+), on 13 rows of reviews.csv, ", lines[3])
    assert float(found.group(1)) < 1e-5
    assert re.search(r"1 to 8 at a time, padded to \d to 32 tokens$", lines[3])
    assert lines[-1] == f"`hf-transfer push` leaves it out; to the Hub: hf upload user/name {lstm_onnx} onnx"
    names = {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert {path.name for path in lstm_onnx.iterdir()} == names


def test_every_length_and_batch_size(lstm, lstm_onnx):
    compare_with_rows_alone(lstm, lstm_onnx, TEXTS)
    compare_with_rows_alone(lstm, lstm_onnx, TEXTS[:3] * 7)


def test_a_second_export_in_one_process_reads_every_length_too(lstm, lstm_onnx):
    predictor = load(lstm)
    program = translate(predictor.model, check_batches(predictor, None)[0][0], predictor.backbone, lstm)
    assert "input_ids int64 (batch, length)" in signature(program)[1]


def test_the_lines_that_are_given_run_as_they_are(told, lstm, lstm_onnx, monkeypatch):
    texts = re.search(r"encode_batch\((.*?)\)", told).group(1)
    expected = [list(answer.probabilities.values()) for answer in load(lstm).predict(json.loads(texts))]
    found = execute(code_of(told))["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)

    monkeypatch.chdir(lstm_onnx)
    from_readme = execute(code_of(Path("README.md").read_text()))["probabilities"]
    np.testing.assert_array_equal(from_readme, found)
    assert json.loads(Path("config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}


def test_long_texts_are_cut_as_in_training(told, lstm):
    code = code_of(told).replace('"a text"', json.dumps(LONG))
    answers = execute(code)
    assert answers["inputs"]["input_ids"].shape == (2, 32)
    expected = load(lstm).predict([LONG])[0].probabilities
    np.testing.assert_allclose(answers["probabilities"][0], list(expected.values()), atol=1e-5)


def test_the_tokenizer_beside_it_loads_without_our_code(lstm, lstm_onnx):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lstm_onnx, trust_remote_code=False)
    assert tokenizer(TEXTS)["input_ids"] == AutoTokenizer.from_pretrained(lstm)(TEXTS)["input_ids"]
    assert "auto_map" not in (lstm_onnx / "config.json").read_text()
    assert not list(lstm_onnx.glob("*.py"))


def test_no_file_says_where_it_was_made(lstm, lstm_onnx):
    import transformers

    places = {ROOT, lstm.parent, Path.home(), Path(transformers.__file__).parent}
    for path in lstm_onnx.iterdir():
        content = path.read_bytes()
        for place in places:
            assert f"{place}/".encode() not in content, path
        assert b'File "' not in content, path


def test_an_export_is_not_replaced_unasked_and_other_files_stay(capfd, monkeypatch, lstm, lstm_onnx):
    not_translated_again(monkeypatch, lstm_onnx)
    (lstm_onnx / "notes.txt").write_text("mine")
    (lstm_onnx / "model.onnx.data").write_text("weights of an earlier, larger model")
    (lstm_onnx / "config.json").write_text("{}")
    code, out, err = command(capfd, "export", lstm)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: --output {lstm_onnx} is not empty (it holds README.md); --overwrite replaces")
    assert (lstm_onnx / "config.json").read_text() == "{}"
    code, out, err = command(capfd, "export", lstm, "--overwrite")
    assert (code, err) == (0, "")
    assert (lstm_onnx / "config.json").read_text() != "{}"
    assert (lstm_onnx / "notes.txt").read_text() == "mine"
    assert not (lstm_onnx / "model.onnx.data").exists()
    assert not list(lstm.glob(".*"))

    # Nothing that is no export is ever written over.
    held = {path: path.read_bytes() for path in lstm.iterdir() if path.is_file()}
    code, out, err = command(capfd, "export", lstm, "--output", lstm, "--overwrite")
    assert code == 2 and "holds no model.onnx that --overwrite could replace" in err
    assert held == {path: path.read_bytes() for path in lstm.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def probe(tmp_path_factory, photos) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return train_images(folder / "probe", settled(mini_image_checkpoint(folder / "net")), photos, LinearHead())


def test_images(capfd, tmp_path, monkeypatch, probe, photos):
    code, out, err = command(capfd, "export", probe)
    assert (code, err) == (0, "")
    assert "reads     pixel_values float32 (batch, 3, 64, 64)\n" in out
    assert re.search(r"on 12 rows of photos, 1 to 8 at a time\n", out)
    files = sorted(map(str, photos.rglob("*.png")))
    compare_with_rows_alone(probe, probe / "onnx", files[:5] + files[-5:])

    # The printed lines prepare a picture of another shape exactly as training did.
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (90, 131, 3)).astype("uint8")
    Image.fromarray(pixels).save("photo.jpg")
    found = execute(code_of(out))
    batch = load(probe).backbone.preprocess({"image": [Image.open("photo.jpg")]}, load(probe).processor)
    np.testing.assert_allclose(found["inputs"]["pixel_values"], batch["pixel_values"], atol=1e-6)
    [expected] = load(probe).predict(["photo.jpg"])
    np.testing.assert_allclose(found["probabilities"][0], list(expected.probabilities.values()), atol=1e-5)


# ---------------------------------------------------------------------------------------------------------------------
# What it is checked on


def test_rows_of_the_check(lstm):
    from hf_transfer.export.rows import check_batches

    batches, source = check_batches(load(lstm), None)
    assert source == "rows of reviews.csv"
    lengths = [batch["attention_mask"].sum(1).tolist() for batch in batches]
    assert [len(rows) for rows in lengths] == [1, 1, 3, 8]
    assert lengths[1] == [32] and lengths[2][1] == 32  # max_length, alone and as a mate
    assert lengths[0][0] == lengths[2][2] == min(lengths[3]) < 8
    assert len(set(lengths[3])) > 3


def test_rows_of_the_check_that_are_gone_or_given(tmp_path, lstm):
    from hf_transfer.export.rows import check_batches

    model = load(lstm)
    here = model.recipe.data
    object.__setattr__(here, "train", str(tmp_path / "gone.csv"))
    batches, source = check_batches(model, None)
    assert source == "made-up texts, as the run's own rows are not on this disk"
    assert [len(batch["input_ids"]) for batch in batches] == [1, 1, 3, 8]
    again, _ = check_batches(model, None)
    assert all(torch.equal(one["input_ids"], two["input_ids"]) for one, two in zip(batches, again, strict=True))

    write_csv(tmp_path / "gone.csv", ["words"], [["good film"]])
    with pytest.raises(UserError, match="gone.csv: there is no column.*; --input names other rows"):
        check_batches(model, None)

    new = write_csv(tmp_path / "new.csv", ["body"], [["the film"]])
    batches, source = check_batches(model, new)
    assert source == "rows of new.csv" and len(batches[3]["input_ids"]) == 8
    with pytest.raises(UserError, match="nowhere.csv"):
        check_batches(model, tmp_path / "nowhere.csv")


# ---------------------------------------------------------------------------------------------------------------------
# What cannot be had


def test_another_model_is_told_apart(lstm, lstm_onnx):
    """The comparison itself: the same weights agree, a bias that moved by 0.01 does not."""
    from hf_transfer.export.parity import compare
    from hf_transfer.export.rows import check_batches

    model = load(lstm)
    batches, _ = check_batches(model, None)
    path = lstm_onnx / "model.onnx"
    assert compare(model.model, path, batches, lstm) < 1e-5
    with torch.no_grad():
        model.model.head.out.bias[0] += 0.01
    assert 1e-4 < compare(model.model, path, batches, lstm) < 0.01
    with torch.no_grad():
        model.model.head.out.bias[0] = float("nan")
    assert np.isnan(compare(model.model, path, batches, lstm))
    wrong = [{name: values for name, values in batches[0].items() if name != "attention_mask"}]
    with pytest.raises(UserError, match=r"onnxruntime cannot run a batch of shape 1 x \d+ \(.*attention_mask"):
        compare(load(lstm).model, path, wrong, lstm)


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_an_export_that_differs_is_not_kept(capfd, tmp_path, monkeypatch, lstm, lstm_onnx, difference):
    from hf_transfer.export import parity

    not_translated_again(monkeypatch, lstm_onnx)
    monkeypatch.setattr(parity, "compare", lambda *_: difference)
    code, out, err = command(capfd, "export", lstm, "--output", tmp_path / "onnx")
    assert (code, out) == (2, "")
    assert re.fullmatch(
        rf"error: the export of {lstm} was not kept: onnxruntime's answers differ from PyTorch's by up to "
        rf"{difference:.2g}, allowed is 0.0001; .*\n",
        err,
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["choice", pytest.param("operator", marks=pytest.mark.slow)])
def test_a_model_that_cannot_be_exported_says_which_part(capfd, tmp_path, monkeypatch, probe, case):
    """A choice that depends on the data, and an operator that ONNX does not have."""
    from timm.layers import SelectAdaptivePool2d

    def chooses(self, values):
        return values.mean((2, 3)) if values.sum() > 0 else values.amax((2, 3))

    def computes(self, values):
        return torch.special.bessel_j0(values).mean((2, 3))

    monkeypatch.setattr(SelectAdaptivePool2d, "forward", chooses if case == "choice" else computes)
    code, out, err = command(capfd, "export", probe, "--output", tmp_path / "onnx", "--traceback")
    assert (code, out) == (2, "")
    *trace, last = err.splitlines()
    assert len(trace) > 50 and "Traceback (most recent call last):" in trace  # with --traceback all of it
    assert last.startswith(f"error: {probe} cannot be exported to ONNX: ") and len(last) < 700
    part = {"choice": r"its SelectAdaptivePool2d \(timm_model\.\S+\)", "operator": r"its operator \S+bessel_j0 has no"}
    assert re.search(part[case], last) and "predicts with PyTorch" in last
    assert not list(tmp_path.iterdir())


def test_packages_that_are_missing_are_named_with_their_extra(capfd, monkeypatch, lstm):
    from hf_transfer.export import to_onnx

    monkeypatch.setattr(to_onnx, "find_spec", lambda name: None if name != "onnx" else name)
    code, _, err = command(capfd, "export", lstm)
    assert code == 2
    assert err == (
        "error: an export needs the packages onnxscript, onnxruntime: pip install 'hf-transfer-recipes[onnx]'\n"
    )


@pytest.mark.parametrize(
    "words,told",
    [
        (["export"], "name the output folder of a run first"),
        (["export", "nowhere"], "nowhere is not a folder"),
        (["export", "OUT", "--format", "tflite"], "--format is 'tflite'; allowed: onnx"),
        (["export", "OUT", "--output", "OUT/config.json"], "is a file; a folder is needed"),
        (["export", "OUT", "--output", "OUT/config.json/onnx"], "cannot be made"),
        (["export", "OUT", "--input", "gone.csv", "--output", "OUT/other"], "gone.csv"),
    ],
)
def test_mistakes_are_told_in_one_line(capfd, lstm, words, told):
    code, out, err = command(capfd, *(word.replace("OUT", str(lstm)) for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and told in err
