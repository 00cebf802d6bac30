"""`hf-transfer export`: the file says what the model says at other batch sizes and lengths, and runs by its own lines.

Mini models; the embedded demo checkpoints and the full matrix of heads, poolings and architectures under `slow`.
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
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv
from PIL import Image

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
    cli,
    load,
    run,
)
from hf_transfer.export import export_onnx

ROOT = Path(__file__).resolve().parents[1]
LONG = " ".join(text for text, _ in make_texts(20))
TEXTS = ["film", "great film", LONG, "a", LONG[:60], "the sad end of it", "dull plot"]


def train_texts(folder, checkpoint, source, head, data=None, **backbone) -> Path:
    recipe = Recipe(
        summary="texts",
        data=TextClassification(str(source), **(data or {"label": "stars"})),
        backbone=TextBackbone(str(checkpoint), **{"max_length": 32, **backbone}),
        head=head,
        strategy=FullFineTune() if isinstance(head, NativeHead) else FrozenFeatures(),
    )
    run(recipe, folder, max_steps=2, learning_rate=0.05)
    return folder


def train_images(folder, checkpoint, source, head, **backbone) -> Path:
    recipe = Recipe(
        summary="images",
        data=ImageClassification(str(source)),
        backbone=ImageBackbone(str(checkpoint), **{"image_size": 64, **backbone}),
        head=head,
        strategy=FullFineTune() if isinstance(head, NativeHead) else FrozenFeatures(),
    )
    # A linear layer is solved for; the others take two steps, large enough that the answers differ.
    steps = {} if isinstance(head, LinearHead) else {"max_steps": 2, "learning_rate": 0.01}
    run(recipe, folder, per_device_train_batch_size=4, **steps)
    return folder


def command(capfd, *words) -> tuple[int, str, str]:
    capfd.readouterr()
    code = cli.main([str(word) for word in words])
    out, err = capfd.readouterr()
    return code, out, err


def execute(code: str) -> dict:
    names = {}
    exec(compile(code, "printed by export", "exec"), names)
    return names


def code_of(text: str) -> str:
    """The Python lines in what the command printed, or in the README beside the model."""
    return re.search(r"^import numpy.*?(?=\n\n`hf-transfer|\n```)", text, re.DOTALL | re.MULTILINE).group()


def onnx_logits(folder: Path, batch: dict) -> np.ndarray:
    from onnxruntime import InferenceSession

    session = InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {name: values.numpy() for name, values in batch.items()})[0]


def not_translated_again(monkeypatch, exported: Path) -> None:
    """What was exported once stands for the translation, which takes seconds."""
    import onnx_ir

    from hf_transfer.export import graph

    class Program:
        model = onnx_ir.load(exported / "model.onnx")

        def save(self, path):
            shutil.copy(exported / "model.onnx", path)

    monkeypatch.setattr(graph, "translate", lambda *_: Program())


def compare_with_rows_alone(run_folder: Path, onnx_folder: Path, inputs: list) -> None:
    """onnxruntime on all inputs in one padded batch, against PyTorch on each alone, without padding."""
    from hf_transfer.inputs import encode

    model = load(run_folder)
    rows = model._rows(inputs)
    encoded = encode(model.backbone, model.processor, rows)
    together = onnx_logits(onnx_folder, model.collate([encoded[number] for number in range(len(rows))]))
    alone = np.concatenate([model.logits(rows.select([number])) for number in range(len(rows))])
    # Small against what tells the inputs apart: where they all get one answer, agreement would prove nothing.
    assert np.abs(together - alone).max() < 0.01 * np.ptp(alone, axis=0).max()
    np.testing.assert_allclose(together, alone, atol=1e-4, rtol=1e-4)


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


# ---------------------------------------------------------------------------------------------------------------------
# Images, a linear probe on a timm net


def settled(checkpoint: Path) -> Path:
    """Let a random net's BatchNorm see pictures: without, its features are the same for every one."""
    from transformers import TimmWrapperForImageClassification

    model = TimmWrapperForImageClassification.from_pretrained(checkpoint).train()
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(30):
            model(torch.randn(8, 3, 64, 64) * torch.rand(8, 1, 1, 1))
    model.save_pretrained(checkpoint)
    return checkpoint


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


# ---------------------------------------------------------------------------------------------------------------------
# The matrix


TEXT_CASES = {
    "native": (NativeHead(), {}),
    "linear mean": (LinearHead(), {"pooling": "mean"}),
    "linear pooler": (LinearHead(), {"pooling": "cls"}),
    "mlp max": (MLPHead((8, 4)), {"pooling": "max"}),
    "mlp attention, first block": (MLPHead((4,)), {"pooling": "attention", "layer": 1}),
    "lstm one way": (LSTMHead(4, 1, bidirectional=False), {}),
    "lstm three layers": (LSTMHead(4, 3), {}),
    "lstm on embeddings": (LSTMHead(4, 2), {"embeddings_only": True}),
    "linear on embeddings": (LinearHead(), {"embeddings_only": True, "pooling": "max"}),
    "added tokens": (LinearHead(), {"pooling": "mean", "add_tokens": ("brand-new",)}),
    "two tokens": (LinearHead(), {"pooling": "mean", "max_length": 3}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TEXT_CASES)
def test_heads_and_poolings_on_texts(tmp_path, lively, reviews, case):
    head, backbone = TEXT_CASES[case]
    folder = train_texts(tmp_path / "out", lively, reviews, head, **backbone)
    done = export_onnx(folder)
    compare_with_rows_alone(folder, done.folder, TEXTS)


ARCHITECTURES = ("roberta", "distilbert", "electra", "albert", "mpnet", "deberta-v2", "modernbert")


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture,head", [*((name, NativeHead()) for name in ARCHITECTURES), ("modernbert", LSTMHead(4, 1))]
)
def test_architectures_of_texts(tmp_path, reviews, architecture, head):
    checkpoint = mini_text_checkpoint(tmp_path / "checkpoint", architecture, initializer_range=0.3)
    folder = train_texts(tmp_path / "out", checkpoint, reviews, head)
    done = export_onnx(folder)
    compare_with_rows_alone(folder, done.folder, TEXTS)


@pytest.mark.slow
def test_pairs_several_labels_and_numbers(tmp_path, lively):
    texts = [text for text, _ in make_texts(60)]
    labels = [";".join(word for word in ("film", "movie", "plot") if word in text.split()) for text in texts]
    pairs = write_csv(
        tmp_path / "pairs.csv",
        ["text", "text_pair", "label"],
        [
            (one, two, ("same", "other")[number % 2])
            for number, (one, two) in enumerate(zip(texts, texts[::-1], strict=True))
        ],
    )
    topics = write_csv(tmp_path / "topics.csv", ["text", "label"], zip(texts, labels, strict=True))
    sizes = write_csv(tmp_path / "sizes.csv", ["text", "label"], [(text, f"{len(text) * 9:.1f}") for text in texts])

    folder = train_texts(tmp_path / "pairs", lively, pairs, LinearHead(), {"text_pair": "text_pair", "label": "label"})
    done = export_onnx(folder)
    compare_with_rows_alone(folder, done.folder, [("film", LONG), ("a", "b"), (LONG, "the"), ("great", "plot")])
    found = execute(done.code)["probabilities"]
    expected = load(folder).predict([("a text", "its pair"), ("another", "and its pair")])
    np.testing.assert_allclose(found, [list(one.probabilities.values()) for one in expected], atol=1e-5)

    folder = train_texts(
        tmp_path / "topics", lively, topics, MLPHead((4,)), {"label_separator": ";", "label": "label"}
    )
    found = execute(export_onnx(folder).code)["probabilities"]
    expected = load(folder).predict(["a text", "another, longer text"])
    np.testing.assert_allclose(found, [list(one.probabilities.values()) for one in expected], atol=1e-5)

    folder = train_texts(tmp_path / "sizes", lively, sizes, LinearHead(), {"label": "label"})
    found = execute(export_onnx(folder).code)["values"]
    expected = load(folder).predict(["a text", "another, longer text"])
    np.testing.assert_allclose(found, [one.label for one in expected], rtol=1e-4)


IMAGE_CASES = {
    "native": ("test_resnet", NativeHead(), {}),
    "mlp": ("test_resnet", MLPHead((4,)), {}),
    "lstm over positions": ("test_resnet", LSTMHead(4, 1), {}),
    "linear on a stage, max": ("test_resnet", LinearHead(), {"layer": 2, "pooling": "max"}),
    "attention pooling": ("test_resnet", MLPHead((32,)), {"pooling": "attention"}),
    "transformer": ("test_vit", LinearHead(), {"image_size": None}),
    "convnext": ("test_convnext", MLPHead((4,)), {}),
    "grey": ("test_resnet", LinearHead(), {"in_chans": 1}),
    "larger than usual": ("test_resnet", NativeHead(), {"image_size": 160}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", IMAGE_CASES)
def test_heads_and_nets_on_images(tmp_path, monkeypatch, photos, case):
    architecture, head, backbone = IMAGE_CASES[case]
    checkpoint = settled(mini_image_checkpoint(tmp_path / "net", architecture))
    folder = train_images(tmp_path / "out", checkpoint, photos, head, **backbone)
    done = export_onnx(folder)
    files = sorted(map(str, photos.rglob("*.png")))
    compare_with_rows_alone(folder, done.folder, files[:2] + files[-3:])
    monkeypatch.chdir(tmp_path)
    shutil.copy(files[0], "photo.jpg")
    [expected] = load(folder).predict(["photo.jpg"])
    np.testing.assert_allclose(
        execute(done.code)["probabilities"][0], list(expected.probabilities.values()), atol=1e-5
    )


@pytest.mark.slow
def test_made_up_pictures(tmp_path, mini_image, photos):
    shutil.copytree(photos, tmp_path / "photos")
    folder = train_images(tmp_path / "out", mini_image, tmp_path / "photos", LinearHead())
    shutil.rmtree(tmp_path / "photos")
    done = export_onnx(folder)
    assert "made-up pictures, as the run's own rows are not on this disk" in done.checked and done.difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text/lstm_frozen", "text/full_finetune", "vision/linear_probe"])
def test_the_embedded_checkpoints(capfd, tmp_path, name):
    out = tmp_path / "out"
    assert cli.main(["run", name, "--demo", "--max_steps", "3", "--output_dir", str(out)]) == 0
    code, told, err = command(capfd, "export", out)
    assert (code, err) == (0, "")
    assert float(re.search(r"difference to PyTorch (\S+),", told).group(1)) < 1e-4
