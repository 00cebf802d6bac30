"""Layer fusion in whole runs: from recordings or not, resumed, gone on from, and loaded by a stranger."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mini import make_texts, mini_image_checkpoint
from PIL import Image
from safetensors.torch import load_file
from stranger import WITHOUT_US
from transformers import TrainerCallback

from hf_transfer import (
    L2SP,
    AttentionHead,
    BitFit,
    FrozenFeatures,
    FullFineTune,
    GradualUnfreeze,
    GRUHead,
    ImageBackbone,
    ImageClassification,
    LayerFusion,
    LinearHead,
    LoRA,
    MLPHead,
    Recipe,
    Stage,
    Supervised,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
    training,
)
from hf_transfer.features.cachetext import listing
from hf_transfer.runner import Interrupted

ROOT = Path(__file__).resolve().parents[1]
SCALARS, OFFSET = "fusion.scalars", "fusion.offset"


@pytest.fixture
def recipe(mini_text, reviews) -> Recipe:
    return Recipe(
        summary="a mix of layers of a mini encoder",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32, pooling="mean", fusion=LayerFusion()),
        head=LinearHead(),
        strategy=FrozenFeatures(),
        training=dict(learning_rate=3e-2, max_steps=8, per_device_train_batch_size=16),
    )


@pytest.fixture
def pictures(mini_image, photos) -> Recipe:
    return Recipe(
        summary="a mix of stages of a mini net",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(mini_image), image_size=64, fusion=LayerFusion()),
        head=LinearHead(),
        strategy=FrozenFeatures(),
        training=dict(learning_rate=1e-2, max_steps=4, per_device_train_batch_size=4),
    )


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def with_head(recipe, head, **backbone) -> Recipe:
    return replace(recipe, head=head, backbone=replace(recipe.backbone, **backbone))


def test_what_is_learnt_is_told(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "cache"))
    tokens = run(replace(recipe, head=GRUHead(4, 1)), tmp_path / "tokens", max_steps=1)
    result = run(recipe, tmp_path / "out")
    found = weights(tmp_path / "out")
    learned = json.loads((tmp_path / "out/results.json").read_text())["learned"]
    assert learned["layers"] == [0, 1, 2] and sum(learned["layer_weights"]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(learned["layer_weights"], found[SCALARS].softmax(0), atol=1e-6)
    assert learned["gamma"] == pytest.approx(1 + found[OFFSET].item(), abs=1e-6) and found[OFFSET].item() != 0
    shown = ", ".join(f"{layer}: {weight:.3f}" for layer, weight in enumerate(learned["layer_weights"]))
    shown = f"{shown}; gamma {learned['gamma']:.3f}"
    assert f"layer weights   {shown}" in capsys.readouterr().out
    card = (tmp_path / "out/README.md").read_text()
    assert f"**Learned layer weights:** {shown}" in card and "**Layer fusion:** scalar mix of layers all" in card
    # The layers' token states were recorded for another head, and their vectors follow from those.
    assert tokens.data["throughput"]["features_per_s"] > 0 and result.data["throughput"]["features_per_s"] is None
    assert "tokens of 3 layers" in listing() and "pooled of 3 layers" in listing()
    assert result.data["fit"]["fit"] == "sgd"
    mean = run(with_head(recipe, LinearHead(), fusion=LayerFusion("mean")), tmp_path / "mean", max_steps=-1)
    assert "learned" not in mean.data and "layer weights" not in mean.table()


def test_a_fixed_mean_is_solved_for_by_lbfgs(recipe, tmp_path):
    result = run(replace(with_head(recipe, LinearHead(), fusion=LayerFusion("mean")), training={}), tmp_path / "out")
    assert result.data["fit"]["fit"] == "lbfgs" and result.data["fit"]["train_loss"] < 0.5


@pytest.mark.parametrize(
    "head",
    [LinearHead(), *(pytest.param(head, marks=pytest.mark.slow) for head in (GRUHead(4, 1), AttentionHead(2)))],
    ids=lambda head: type(head).__name__,
)
def test_recorded_or_not_the_weights_come_out_alike(head, recipe, tmp_path, monkeypatch, capsys):
    # In the order of the file: vectors have no length by which texts are put into batches otherwise.
    settings = {**recipe.training, "train_sampling_strategy": "sequential"}
    recipe = replace(recipe, head=replace(head, dropout=0.0), training=settings)
    run(recipe, tmp_path / "recorded", dtype="float32")
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "none"))
    monkeypatch.setenv("HF_TRANSFER_CACHE_GB", "0")
    run(recipe, tmp_path / "not", dtype="float32")
    assert "the frozen backbone runs in every epoch" in capsys.readouterr().out
    recorded, other = weights(tmp_path / "recorded"), weights(tmp_path / "not")
    for name, tensor in recorded.items():
        same = torch.ones_like(tensor, dtype=torch.bool)
        if name.endswith("in_proj_bias"):  # that of keys changes no softmax: Adam makes whole steps of its rounding
            same[len(tensor) // 3 : 2 * len(tensor) // 3] = False
        torch.testing.assert_close(tensor[same], other[name][same], atol=2e-5, rtol=1e-4)
    assert recorded[SCALARS].abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy,objective",
    [
        (FullFineTune(layer_decay=0.9), Supervised() + 0.1 * L2SP()),
        (BitFit(), Supervised()),
        (LoRA(rank=2), Supervised()),
        (GradualUnfreeze(), Supervised()),
    ],
    ids=lambda one: type(one).__name__,
)
def test_the_mix_moves_with_the_head_under_every_strategy(strategy, objective, recipe, mini_text, tmp_path):
    """Gradual unfreezing is in its first epoch here: head and mix alone."""
    run(replace(recipe, strategy=strategy, objective=objective), tmp_path / "out", max_steps=3)
    found, before = weights(tmp_path / "out"), load_file(mini_text / "model.safetensors")
    assert found[SCALARS].abs().min() > 0 and found[OFFSET].item() != 0
    moved = [name for name, value in before.items() if f"backbone.{name}" in found]
    moved = [name for name in moved if not torch.equal(before[name], found[f"backbone.{name}"])]
    assert bool(moved) == (not isinstance(strategy, GradualUnfreeze))


def test_lp_ft_starts_from_the_mix_of_the_probe(recipe, tmp_path):
    run(recipe, tmp_path / "probe")
    stages = (Stage(FrozenFeatures()), Stage(FullFineTune(), training=dict(learning_rate=0.0, weight_decay=0.0)))
    run(replace(recipe, strategy=stages), tmp_path / "still")
    texts = [text for text, _ in make_texts(6)]
    one, two = (
        [list(p.probabilities.values()) for p in load(tmp_path / n).predict(texts)] for n in ("probe", "still")
    )
    np.testing.assert_allclose(one, two, atol=1e-6)


class StopAt(TrainerCallback):
    """Sends this process what Ctrl-C sends, once."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 4:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    "strategy", [FrozenFeatures(), pytest.param(FullFineTune(), marks=pytest.mark.slow)], ids=["recorded", "full"]
)
def test_a_stopped_run_goes_on_to_the_same_weights(strategy, recipe, tmp_path, monkeypatch):
    keep = {"save_strategy": "steps", "save_steps": 2, "load_best_model_at_end": False}
    recipe = replace(recipe, strategy=strategy, head=MLPHead((4,)), training={**recipe.training, **keep})
    run(recipe, tmp_path / "whole")

    class Stopped(training.TransferTrainer):
        def __init__(self, *args, callbacks, **kwargs):
            super().__init__(*args, callbacks=[*callbacks, StopAt()], **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(training, "TransferTrainer", Stopped)
        with pytest.raises(Interrupted, match="--resume"):
            run(recipe, tmp_path / "out")
    run(recipe, tmp_path / "out", resume=True)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "out")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


@pytest.mark.slow
def test_a_finished_mix_goes_on(recipe, tmp_path):
    """As a whole with --start_from; as a backbone, without its mix."""
    run(with_head(recipe, LinearHead(), fusion=LayerFusion(layers=(0, 1))), tmp_path / "cut")
    made = with_head(recipe, LinearHead(), fusion=LayerFusion(layers=(0, 1)))
    more = run(made, tmp_path / "more", start_from=tmp_path / "cut", learning_rate=0.0)
    assert torch.equal(weights(tmp_path / "more")[SCALARS], weights(tmp_path / "cut")[SCALARS])
    assert more.data["learned"]["layers"] == [0, 1]
    with pytest.raises(UserError, match="backbone.fusion was LayerFusion.* and is None here"):
        run(with_head(recipe, LinearHead(), fusion=None), tmp_path / "no", start_from=tmp_path / "cut")
    for name, fusion in (("plain", None), ("mixed", LayerFusion())):
        backbone = replace(recipe.backbone, checkpoint=str(tmp_path / "cut"), fusion=fusion)
        result = run(replace(recipe, backbone=backbone), tmp_path / name, max_steps=1)
        assert any("linear head and its mix of layers" in note for note in result.data["notes"])
        assert sum("attention.output.dense.weight" in key for key in weights(tmp_path / name)) == 1
    assert weights(tmp_path / "mixed")[SCALARS].shape == (2,)


@pytest.mark.slow
@pytest.mark.parametrize("architecture,size", [("test_resnet", 64), ("test_vit", None)])
def test_a_finished_net_goes_on_without_its_mix(architecture, size, pictures, tmp_path):
    net = mini_image_checkpoint(tmp_path / "net", architecture)
    for layers in (None, (0, 2)):
        fusion = LayerFusion("mean", layers)
        made = with_head(pictures, MLPHead((4,)), checkpoint=str(net), image_size=size, fusion=fusion)
        first = tmp_path / f"first-{layers}"
        run(made, first, max_steps=1)
        for name, again in (("plain", None), ("mixed", LayerFusion())):
            spec = with_head(made, MLPHead((4,)), checkpoint=str(first), fusion=again)
            run(spec, tmp_path / f"{name}-{layers}", max_steps=1)  # its figures are those of the model loaded again


# ---------------------------------------------------------------------------------------------------------------------
# A stranger

STRANGER = (
    WITHOUT_US
    + """
import json, sys
sys.path[:] = [entry for entry in sys.path if entry not in ("", sys.argv[2])]
from transformers import pipeline
answers = []
for kind, folder, inputs in json.loads(sys.argv[1]):
    classify = pipeline(f"{kind}-classification", model=folder, trust_remote_code=True, device="cpu")
    answers.append([{one["label"]: one["score"] for one in classify(item, top_k=None)} for item in inputs])
print("ANSWERS" + json.dumps(answers))
"""
)


@pytest.mark.slow
def test_a_stranger_loads_it_without_this_package(recipe, pictures, tmp_path):
    texts = [text for text, _ in make_texts(3, seed=5)]
    picture = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 64, 3)).astype("uint8")).save(picture)
    vit = mini_image_checkpoint(tmp_path / "vit", "test_vit")
    cases = {
        "mix": (recipe, texts),
        "mean, gru": (with_head(recipe, GRUHead(4, 2), fusion=LayerFusion("mean")), texts),
        "cut, attention": (with_head(recipe, AttentionHead(2), fusion=LayerFusion(layers=(0, 1))), texts),
        "stages": (pictures, [str(picture)]),
        "blocks": (with_head(pictures, AttentionHead(2), checkpoint=str(vit), image_size=None), [str(picture)]),
    }
    asked, expected = [], []
    for name, (one, inputs) in cases.items():
        run(one, tmp_path / name, max_steps=2)
        asked.append([one.backbone.modality, str(tmp_path / name), inputs])
        expected.append([prediction.probabilities for prediction in load(tmp_path / name).predict(inputs)])
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps(asked), str(ROOT)],
        capture_output=True, text=True, cwd=tmp_path, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name, told, known in zip(cases, json.loads(done.stdout.split("ANSWERS")[1]), expected, strict=True):
        for one, other in zip(told, known, strict=True):
            assert one == pytest.approx(other, abs=1e-5), name
