"""A fused backbone on two ranks: the model that one process makes, frozen on recordings and trained whole."""

from pathlib import Path

import pytest
import torch
from mini import mini_image_checkpoint, mini_text_checkpoint, write_text_images
from ranks import RUN_RECIPE, launched
from safetensors.torch import load_file

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
    rows = ["--per_device_train_batch_size", 8 // ranks]
    launched(ranks, RUN_RECIPE, recipe, "--output_dir", folder, *rows, "--dtype", "float32")
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
