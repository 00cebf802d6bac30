"""A mix of layers on two ranks: the weights that one process learns, and the bytes that it records."""

from pathlib import Path

import pytest
import torch
from mini import make_texts, mini_text_checkpoint, write_csv
from ranks import RUN_RECIPE, launched
from safetensors.torch import load_file

RECIPE = '''"""A mix of layers."""

from hf_transfer import FrozenFeatures, FullFineTune, LayerFusion, LinearHead, Recipe, Stage
from hf_transfer import TextBackbone, TextClassification

FIXED = dict(optim="sgd", learning_rate=0.3, max_steps=5, train_sampling_strategy="sequential", eval_strategy="no",
             save_strategy="no", load_best_model_at_end=False)
RECIPE = Recipe(
    summary="probe of a mix, then everything",
    data=TextClassification({rows!r}),
    backbone=TextBackbone({net!r}, max_length=32, pooling="mean", fusion=LayerFusion()),
    head=LinearHead(),
    strategy=(
        Stage(FrozenFeatures(), dict(optim="adamw_torch", learning_rate=3e-2)), Stage(FullFineTune(layer_decay=0.9)),
    ),
    training=FIXED,
)
'''


def train(ranks: int, recipe: Path, folder: Path) -> tuple[dict[str, torch.Tensor], dict[Path, bytes]]:
    words = ["--output_dir", folder / "out", "--per_device_train_batch_size", 8 // ranks, "--dtype", "float32"]
    launched(ranks, RUN_RECIPE, recipe, *words, HF_TRANSFER_CACHE=str(folder / "cache"))
    recorded = {path.relative_to(folder): path.read_bytes() for path in sorted((folder / "cache").rglob("*.npy"))}
    return load_file(folder / "out" / "model.safetensors"), recorded


@pytest.mark.distributed
def test_two_ranks_give_what_one_gives(tmp_path):
    net = mini_text_checkpoint(tmp_path / "net", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], make_texts(101))
    recipe = tmp_path / "mix.py"
    recipe.write_text(RECIPE.format(rows=str(rows), net=str(net)))
    (one, bytes_of_one), (two, bytes_of_two) = (train(ranks, recipe, tmp_path / str(ranks)) for ranks in (1, 2))
    assert len(bytes_of_one) == 2 and bytes_of_one == bytes_of_two  # one vector per layer, of two splits
    assert one["fusion.scalars"].abs().max() > 1e-2 and one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-5, rtol=0)
