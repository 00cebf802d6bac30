"""Objectives that keep what was learnt, on two ranks: the model that one process makes."""

from pathlib import Path

import pytest
import torch
from mini import make_texts, mini_text_checkpoint, write_csv
from ranks import RUN_RECIPE, launched
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

RECIPE = '''"""All terms at once."""

from hf_transfer import DELTA, CoTuning, Distillation, FullFineTune
from hf_transfer import Recipe, Supervised, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="keeps",
    data=TextClassification({rows!r}),
    backbone=TextBackbone({net!r}, max_length=32),
    strategy=FullFineTune(layer_decay=0.7),
    objective=Supervised() + Distillation({teacher!r}) + 0.01 * DELTA() + CoTuning(),
    training=dict(max_steps=6, train_sampling_strategy="sequential", learning_rate=1e-3, eval_strategy="no",
                  save_strategy="no", load_best_model_at_end=False),
)
'''


def classifier(folder: Path, encoder: Path, names: tuple[str, ...], seed: int) -> Path:
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder, num_labels=len(names), id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)}
    )
    model.save_pretrained(folder)
    for path in encoder.glob("*token*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def train(ranks: int, recipe: Path, folder: Path) -> dict[str, torch.Tensor]:
    rows = ["--per_device_train_batch_size", 8 // ranks]
    launched(ranks, RUN_RECIPE, recipe, "--output_dir", folder, *rows, "--dtype", "float32")
    return load_file(folder / "model.safetensors")


@pytest.mark.distributed
def test_two_ranks_give_what_one_gives(tmp_path):
    encoder = mini_text_checkpoint(tmp_path / "mini", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    net = classifier(tmp_path / "net", encoder, ("a", "b", "c"), seed=1)
    teacher = classifier(tmp_path / "teacher", encoder, ("good", "bad"), seed=2)
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], make_texts(101))
    recipe = tmp_path / "keeping.py"
    recipe.write_text(RECIPE.format(rows=str(rows), net=str(net), teacher=str(teacher)))
    one, two = (train(ranks, recipe, tmp_path / str(ranks)) for ranks in (1, 2))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-5, rtol=0)
