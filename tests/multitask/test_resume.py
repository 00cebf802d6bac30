"""A run of several tasks that was stopped goes on to the weights of an unbroken one."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from hf_transfer import run
from hf_transfer.multitask.trainer import MixtureTrainer


class Stop(Exception):
    pass


class StopAt(TrainerCallback):
    """Ends the process of training, as a kill would, once a step has been saved."""

    def __init__(self, step: int):
        self.step = step

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Stop


@pytest.mark.parametrize("step", [23, 30])
def test_a_resumed_run_equals_an_unbroken_one(recipe_of, tmp_path, monkeypatch, step, mini_text):
    """23 steps are an epoch: the border, and the middle of the second one, whose rows of the small task go on where
    they were; with dropout and learnt weights."""
    saving = dict(save_strategy="steps", save_steps=step, eval_strategy="no", load_best_model_at_end=False)
    recipe = recipe_of(
        mixture=dict(sampling="uniform", weights="uncertainty"), checkpoint=mini_text, training=dict(saving)
    )
    run(recipe, tmp_path / "unbroken")
    start = MixtureTrainer.__init__

    def stopping(self, *args, **kwargs):
        start(self, *args, **kwargs)
        self.add_callback(StopAt(step))

    monkeypatch.setattr(MixtureTrainer, "__init__", stopping)
    with pytest.raises(Stop):
        run(recipe, tmp_path / "stopped")
    monkeypatch.undo()
    resumed = run(recipe, tmp_path / "stopped", resume=True)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("stopped", "unbroken"))
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
    assert resumed.data["fit"]["task_weights"] != {"mood": 1.0, "alike": 0.5}
