"""Exports of all heads, poolings and architectures, and of the embedded demo checkpoints: minutes."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from exporting import LONG, TEXTS, command, compare_with_rows_alone, execute, settled, train_images, train_texts
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv

from hf_transfer import LinearHead, LSTMHead, MLPHead, NativeHead, cli, load
from hf_transfer.export import export_onnx

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lively(tmp_path_factory) -> Path:
    """An encoder with weights so large that the states of two words differ as a trained one's do."""
    return mini_text_checkpoint(tmp_path_factory.mktemp("lively") / "checkpoint", initializer_range=0.3)


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


@pytest.mark.parametrize("case", TEXT_CASES)
def test_heads_and_poolings_on_texts(tmp_path, lively, reviews, case):
    head, backbone = TEXT_CASES[case]
    folder = train_texts(tmp_path / "out", lively, reviews, head, **backbone)
    done = export_onnx(folder)
    compare_with_rows_alone(folder, done.folder, TEXTS)


ARCHITECTURES = ("roberta", "distilbert", "electra", "albert", "mpnet", "deberta-v2", "modernbert")


@pytest.mark.parametrize(
    "architecture,head", [*((name, NativeHead()) for name in ARCHITECTURES), ("modernbert", LSTMHead(4, 1))]
)
def test_architectures_of_texts(tmp_path, reviews, architecture, head):
    checkpoint = mini_text_checkpoint(tmp_path / "checkpoint", architecture, initializer_range=0.3)
    folder = train_texts(tmp_path / "out", checkpoint, reviews, head)
    done = export_onnx(folder)
    compare_with_rows_alone(folder, done.folder, TEXTS)


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


def test_made_up_pictures(tmp_path, mini_image, photos):
    shutil.copytree(photos, tmp_path / "photos")
    folder = train_images(tmp_path / "out", mini_image, tmp_path / "photos", LinearHead())
    shutil.rmtree(tmp_path / "photos")
    done = export_onnx(folder)
    assert "made-up pictures, as the run's own rows are not on this disk" in done.checked and done.difference < 1e-5


@pytest.mark.parametrize("name", ["text/lstm_frozen", "text/full_finetune", "vision/linear_probe"])
def test_the_embedded_checkpoints(capfd, tmp_path, name):
    out = tmp_path / "out"
    assert cli.main(["run", name, "--demo", "--max_steps", "3", "--output_dir", str(out)]) == 0
    code, told, err = command(capfd, "export", out)
    assert (code, err) == (0, "")
    assert float(re.search(r"difference to PyTorch (\S+),", told).group(1)) < 1e-4
