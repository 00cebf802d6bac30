"""Objectives with parameters of their own: trained, resumed and alike on all ranks, and never in the saved model."""

import json
from pathlib import Path

import pytest
import torch
from joining import Guess, join, weights
from ranks import ROOT, launched
from safetensors.torch import load_file

from hf_transfer import FullFineTune, Supervised
from hf_transfer.joint import Joint


def test_the_objective_learns_and_the_model_hears_of_it(tmp_path):
    """One step of plain SGD against the gradient of the loss as one would write it down."""
    trainer = join(tmp_path, optim="sgd", max_steps=1, max_grad_norm=0, train_sampling_strategy="sequential")
    net, layer = trainer.joint.model, trainer.joint.objective.terms[0].layer
    batch = trainer.train_dataset.__getitems__(list(range(8)))
    features = net.first(batch["values"]).tanh()
    loss = torch.nn.functional.cross_entropy(net.last(features), batch["labels"])
    guess = torch.nn.functional.cross_entropy(layer(features), (batch["values"][:, 1] > 0).long())
    parameters = [*net.parameters(), *layer.parameters()]
    gradients = torch.autograd.grad(loss + 0.5 * guess, parameters)
    expected = [parameter.detach() - 0.1 * gradient for parameter, gradient in zip(parameters, gradients, strict=True)]
    trainer.train()
    for parameter, value in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value)
    entry = trainer.state.log_history[0]
    assert entry["loss_task"] == pytest.approx(loss.item(), rel=1e-5)
    assert entry["loss_guess"] == pytest.approx(0.5 * guess.item(), rel=1e-5)


@pytest.mark.parametrize("strategy", [None, FullFineTune(layer_decay=0.5)], ids=["alike", "by depth"])
@pytest.mark.parametrize("stop_at", [7, 10], ids=["at the border", "inside an epoch"])
def test_resuming_gives_the_weights_of_an_unbroken_run(tmp_path, stop_at, strategy):
    whole = join(tmp_path, dropout=0.3, strategy=strategy, save_strategy="steps", save_steps=stop_at)
    whole.train()
    resumed = join(tmp_path, dropout=0.3, strategy=strategy)
    start = weights(resumed)
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{stop_at}"))
    assert weights(resumed) == weights(whole)
    moved = {name for name, values in weights(whole).items() if values != start[name]}
    assert moved == set(start) and {"objective.terms.0.layer.weight", "model.first.weight"} < moved


def test_checkpoints_hold_both_and_the_model_stays_what_it_was(tmp_path):
    trainer = join(tmp_path, save_strategy="steps", save_steps=7)
    model = trainer.joint.model
    names = set(model.state_dict())
    trainer.train()
    held = set(load_file(tmp_path / "checkpoint-7" / "model.safetensors"))
    own = {f"objective.terms.0.{name}" for name in ("layer.weight", "layer.bias", "rows")}
    assert held == {f"model.{name}" for name in names} | own
    assert set(model.state_dict()) == names and trainer.joint.model is model


def test_the_best_epoch_brings_back_the_objective_of_that_epoch(tmp_path):
    trainer = join(
        tmp_path, save_strategy="epoch", eval_strategy="epoch", load_best_model_at_end=True,
        metric_for_best_model="eval_loss", greater_is_better=True,  # the worst, which is the first
    )  # fmt: skip
    trainer.train()
    best = Path(trainer.state.best_model_checkpoint)
    assert best.name != f"checkpoint-{trainer.state.global_step}"  # or nothing is brought back
    for name, tensor in load_file(best / "model.safetensors").items():
        assert torch.equal(trainer.joint.state_dict()[name], tensor), name


def test_depths_and_groups_know_the_objective_as_a_part_of_the_head(tmp_path):
    trainer = join(tmp_path, strategy=FullFineTune(layer_decay=0.5))
    grouped = {id(parameter): group["lr"] for group in trainer.groups for parameter in group["params"]}
    rates = {name: grouped[id(parameter)] for name, parameter in trainer.joint.named_parameters()}
    assert rates["objective.terms.0.layer.weight"] == rates["model.last.weight"] == 0.1
    assert rates["model.first.bias"] == 0.05
    own = sum(parameter.numel() for parameter in trainer.joint.objective.parameters())
    assert trainer.group_lines()[-1] == f"  of these {own} are the objective's, which trains beside the model"


def test_without_parameters_the_trainer_sees_the_model_alone(tmp_path):
    trainer = join(tmp_path, objective=Supervised())
    assert trainer.model is trainer.joint.model and not trainer.joint.learns
    assert not any("objective" in line for line in trainer.group_lines())
    assert isinstance(join(tmp_path).model, Joint)


def test_the_model_answers_for_what_the_joint_module_lacks():
    net = torch.nn.Linear(2, 2)
    net.config, net.objective = "settings", "another"
    joint = Joint(net, join_objective())
    assert joint.config == "settings" and joint.objective is not net.objective
    with pytest.raises(AttributeError, match="absent"):
        joint.absent  # noqa: B018


def join_objective():
    from hf_transfer.objectives.step_loss import build_objective

    return build_objective(Supervised() + Guess(), "single_label_classification")


@pytest.mark.distributed
def test_two_ranks_stay_together_and_give_what_one_gives(tmp_path):
    settings = dict(per_device_train_batch_size=4, train_sampling_strategy="sequential")
    launched(2, ROOT / "tests/helpers/joining.py", tmp_path, json.dumps(settings))
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    one = join(tmp_path / "one", **{**settings, "per_device_train_batch_size": 8})
    one.train()
    for run in ("whole", "rest"):
        for name, values in weights(one).items():
            if name.endswith("rows"):  # what a rank counts by itself
                continue
            assert first[run][name] == second[run][name], name
            assert first[run][name] == pytest.approx(values, abs=1e-5), name
