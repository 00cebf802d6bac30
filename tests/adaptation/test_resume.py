"""A run of two domains that was stopped goes on to the weights of an unbroken one."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from hf_transfer import DANN, FullFineTune, Supervised, run
from hf_transfer.adaptation.trainer import AdaptationTrainer


class Stop(Exception):
    pass


class StopAt(TrainerCallback):
    """Ends the process of training, as a kill would, once a step has been saved."""

    def on_save(self, args, state, control, **kwargs):
        raise Stop


def test_a_resumed_run_equals_an_unbroken_one(recipe_of, tmp_path, monkeypatch, capsys):
    """Stopped within the second epoch of its own training, behind what it is compared with; with a discriminator."""
    saving = dict(save_strategy="steps", save_steps=20, eval_strategy="no", load_best_model_at_end=False)
    training = dict(num_train_epochs=2, per_device_train_batch_size=8, learning_rate=1e-3, **saving)
    recipe = recipe_of(strategy=FullFineTune(), objective=Supervised() + DANN(hidden_size=8), training=training)
    whole = run(recipe, tmp_path / "unbroken")
    start = AdaptationTrainer.__init__

    def stopping(self, *args, **kwargs):
        start(self, *args, **kwargs)
        if self.pools:  # what it is compared with reads no target
            self.add_callback(StopAt())

    monkeypatch.setattr(AdaptationTrainer, "__init__", stopping)
    with pytest.raises(Stop):
        run(recipe, tmp_path / "stopped")
    monkeypatch.undo()
    capsys.readouterr()
    resumed = run(recipe, tmp_path / "stopped", resume=True)
    assert "source only; finished before" in capsys.readouterr().out
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("stopped", "unbroken"))
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
    assert resumed.data["domains"] == whole.data["domains"]
