"""A fused backbone on two ranks: the model that one process makes, frozen on recordings and trained whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mini import mini_image_checkpoint, mini_text_checkpoint, write_text_images
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
RANKS = dict(
    PYTHONPATH=str(ROOT), ACCELERATE_USE_CPU="true", GLOO_SOCKET_IFNAME="lo", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1"
)

RECIPE = '''"""Text and image, alpha learned: the head first, then everything."""

from hf_transfer import FrozenFeatures, FullFineTune, FusedBackbone, ImageBackbone, LinearHead, Recipe, Stage
from hf_transfer import TextBackbone, TextImageClassification

RECIPE = Recipe(
    summary="fused",
    data=TextImageClassification({rows!r}),
    backbone=FusedBackbone(
        {{"words": TextBackbone({encoder!r}, max_length=32), "image": ImageBackbone({net!r}, augmentation="none")}},
        fusion="weighted", alpha=None,
    ),
    head=LinearHead(),
    strategy=(Stage(FrozenFeatures()), Stage(FullFineTune(), dict(learning_rate=1e-4))),
    training=dict(max_steps=4, train_sampling_strategy="sequential", learning_rate=1e-2, eval_strategy="no",
                  save_strategy="no", load_best_model_at_end=False),
)
'''


def train(ranks: int, recipe: Path, folder: Path) -> dict[str, torch.Tensor]:
    words = [str(recipe), "--output_dir", str(folder), "--per_device_train_batch_size", str(8 // ranks)]
    start = [sys.executable]
    if ranks > 1:
        torchrun = "import sys; from torch.distributed.run import main; sys.exit(main())"
        start += ["-c", torchrun, f"--nproc_per_node={ranks}", "--master_port=29637"]
    done = subprocess.run(
        [*start, str(ROOT / "scripts/run_recipe.py"), *words, "--dtype", "float32"],
        capture_output=True, text=True, timeout=400, cwd=ROOT, env={**os.environ, **RANKS},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(folder / "model.safetensors")


@pytest.mark.distributed
def test_two_ranks_give_what_one_gives(tmp_path, monkeypatch):
    # No dropout, and a net without BatchNorm, whose statistics would be those of half a batch.
    encoder = mini_text_checkpoint(tmp_path / "mini", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    net = mini_image_checkpoint(tmp_path / "net", "test_vit")
    rows = write_text_images(tmp_path / "rows", 62)
    recipe = tmp_path / "fused.py"
    recipe.write_text(RECIPE.format(rows=str(rows), encoder=str(encoder), net=str(net)))
    found = []
    for ranks in (1, 2):
        monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / f"cache-{ranks}"))  # each records for itself
        found.append(train(ranks, recipe, tmp_path / str(ranks)))
    one, two = found
    assert one.keys() == two.keys() and one["fusion.logit"] != 0
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-5, rtol=0)
