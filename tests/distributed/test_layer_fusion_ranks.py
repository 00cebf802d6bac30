"""A mix of layers on two ranks: the weights that one process learns, and the bytes that it records."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mini import make_texts, mini_text_checkpoint, write_csv
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
RANKS = dict(
    PYTHONPATH=str(ROOT), ACCELERATE_USE_CPU="true", GLOO_SOCKET_IFNAME="lo", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1"
)
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
    words = [str(recipe), "--output_dir", str(folder / "out"), "--per_device_train_batch_size", str(8 // ranks)]
    start = [sys.executable]
    if ranks > 1:
        torchrun = "import sys; from torch.distributed.run import main; sys.exit(main())"
        start += ["-c", torchrun, f"--nproc_per_node={ranks}", "--master_port=29637"]
    done = subprocess.run(
        [*start, str(ROOT / "scripts/run_recipe.py"), *words, "--dtype", "float32"],
        capture_output=True, text=True, timeout=400, cwd=ROOT,
        env={**os.environ, **RANKS, "HF_TRANSFER_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
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
