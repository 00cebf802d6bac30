"""Two CPU ranks pretrain as one process does: the divisor and the negatives are those of both."""

import json
from pathlib import Path

import pytest
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_images
from ranks import RUN_RECIPE, launched

pytestmark = pytest.mark.distributed


def train(ranks: int, name: str, folder: Path, *words: str) -> dict:
    rows = ["--per_device_train_batch_size", 12 // ranks, "--per_device_eval_batch_size", 12 // ranks]
    done = launched(ranks, RUN_RECIPE, name, "--output_dir", folder, *words, *rows, timeout=500)
    assert done.stdout.count("before training:") == 1  # one process speaks
    return json.loads((folder / "results.json").read_text())


def equal_weights(first: Path, second: Path, atol: float) -> None:
    import torch
    from safetensors.torch import load_file

    one, two = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor.float(), two[name].float(), atol=atol), name


SAME = ["--train_sampling_strategy", "sequential", "--optim", "sgd", "--dtype", "float32", "--num_train_epochs", "2"]


def test_masked_language_modelling(tmp_path):
    """Ranks have different numbers of masked tokens; a mean of means would differ."""
    raw = tmp_path / "raw.txt"
    raw.write_text("\n".join(text for text, _ in make_texts(61)))
    still = mini_text_checkpoint(tmp_path / "net", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    words = ["--data.train", str(raw), "--backbone.checkpoint", str(still), "--backbone.max_length", "32"]
    words += [*SAME, "--learning_rate", "0.5", "--data.validation", "0.2"]
    one, two = (train(ranks, "pretraining/mlm", tmp_path / str(ranks), *words) for ranks in (1, 2))
    equal_weights(tmp_path / "1", tmp_path / "2", atol=5e-6)
    assert two["metrics"]["validation"]["loss"] == pytest.approx(one["metrics"]["validation"]["loss"], abs=1e-5)
    losses = [[step["validation"]["loss"] for step in one_run["history"]] for one_run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)  # exact over both ranks, not a mean of means


def test_simclr_contrasts_with_the_images_of_the_other_rank(tmp_path):
    """A ViT has no BatchNorm, so nothing else is in the way."""
    photos = write_images(tmp_path / "photos", 20)
    net = mini_image_checkpoint(tmp_path / "net", "test_vit")
    words = ["--data.train", str(photos), "--backbone.checkpoint", str(net), "--backbone.image_size", "none"]
    words += [*SAME, "--learning_rate", "0.1", "--data.validation", "0.25", "--num_train_epochs", "1"]
    for ranks in (1, 2):
        train(ranks, "pretraining/simclr", tmp_path / str(ranks), *words)
    equal_weights(tmp_path / "1", tmp_path / "2", atol=5e-6)
