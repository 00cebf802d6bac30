"""Training in stages: each goes on from the one before, and a run that is stopped goes on in the right one."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    Recipe,
    Stage,
    TextBackbone,
    TextClassification,
    load,
    run,
)
from hf_transfer.runner import Interrupted

LP_FT = (Stage(FrozenFeatures()), Stage(FullFineTune()))


@pytest.fixture
def recipe(mini_text, reviews) -> Recipe:
    return Recipe(
        summary="LP-FT on a mini encoder",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32, pooling="mean"),
        head=LinearHead(),
        strategy=LP_FT,
        training=dict(learning_rate=1e-3, num_train_epochs=2, per_device_train_batch_size=16),
    )


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_fine_tuning_starts_at_the_probe(recipe, tmp_path):
    """LP-FT: at step 0 of the second stage the logits are the probe's."""
    probe = replace(recipe, strategy=FrozenFeatures(), training={})
    run(probe, tmp_path / "probe")
    still = replace(recipe, training={**recipe.training, "learning_rate": 0.0, "weight_decay": 0.0})
    result = run(still, tmp_path / "still")
    texts = [f"a film that is {word}" for word in ("good", "bad", "fine", "long")]
    probabilities = [
        [list(one.probabilities.values()) for one in load(tmp_path / name).predict(texts)]
        for name in ("probe", "still")
    ]
    np.testing.assert_allclose(*probabilities, atol=1e-6)
    assert [stage["fit"] for stage in result.data["stages"]] == ["lbfgs", "sgd"]
    assert [stage["strategy"] for stage in result.data["stages"]] == ["FrozenFeatures", "FullFineTune"]
    assert [sorted(stage["dtypes"]) for stage in result.data["stages"]] == [["features"], ["train"]]
    assert result.data["environment"]["features_dtype"] == result.data["stages"][0]["dtypes"]["features"]

    moved = run(recipe, tmp_path / "moved")
    before, after = weights(tmp_path / "still"), weights(tmp_path / "moved")
    assert all(not torch.equal(before[name], after[name]) for name in before if "layer.0.output.dense" in name)
    assert {one["stage"] for one in moved.data["history"]} == {2}
    assert json.loads((tmp_path / "moved" / "recipe.json").read_text())["strategy"][1]["kind"] == "Stage"
    assert moved.data["fit"]["fit"] == "sgd" and moved.data["parameters"]["trainable"] > 6_000
    assert not (tmp_path / "moved" / "checkpoints").exists()


class StopAt(TrainerCallback):
    """Sends this process what Ctrl-C sends, once, after a step of the training that has `of` steps."""

    def __init__(self, step: int, of: int):
        self.step, self.of = step, of

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1 and state.max_steps == self.of:
            self.of = 0
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("stage,step,of", [(1, 3, 4), (2, 1, 6), (2, 5, 6)])
def test_a_stopped_run_goes_on_in_its_stage_to_the_same_weights(stage, step, of, recipe, tmp_path, monkeypatch):
    from hf_transfer import training

    recipe = replace(
        recipe,
        head=LSTMHead(4, 1),
        strategy=(
            Stage(FrozenFeatures(), training=dict(max_steps=4)),
            Stage(FullFineTune(layer_decay=0.9), training=dict(max_steps=6)),
        ),
        training={**recipe.training, "save_strategy": "steps", "save_steps": 2, "load_best_model_at_end": False},
    )
    run(recipe, tmp_path / "whole")

    class Stopped(training.TransferTrainer):
        def __init__(self, *args, callbacks, **kwargs):
            super().__init__(*args, callbacks=[*callbacks, StopAt(step, of)], **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(training, "TransferTrainer", Stopped)
        with pytest.raises(Interrupted, match=rf"checkpoint-{step}\b.*--resume"):
            run(recipe, tmp_path / "out")
    kept = {path.name for path in (tmp_path / "out" / "checkpoints").iterdir()}
    assert f"stage-{stage}" in kept and ("stage-2" in kept) == (stage == 2)

    run(recipe, tmp_path / "out", resume=True)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "out")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_images_are_augmented_in_the_stage_that_trains_the_net_alone(mini_image, photos, tmp_path):
    recipe = Recipe(
        summary="LP-FT on a mini net",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(mini_image), image_size=64, augmentation="crop"),
        head=LinearHead(),
        strategy=LP_FT,
        training=dict(max_steps=2, per_device_train_batch_size=4),
    )
    result = run(recipe, tmp_path / "out")
    assert [stage["fit"] for stage in result.data["stages"]] == ["lbfgs", "sgd"]
    assert result.recipe["backbone"]["augmentation"] == "crop"
