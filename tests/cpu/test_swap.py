"""Faster dropout in stock models, and its end."""

import copy
import json

import pytest
import torch
from mini import mini_text_checkpoint
from torch import nn
from transformers import AutoModelForSequenceClassification

from hf_transfer.cpu import attention as attention_module
from hf_transfer.cpu.dropout import FastDropout
from hf_transfer.cpu.swap import FastRandomness


def open_model(tmp_path, architecture):
    folder = mini_text_checkpoint(tmp_path / architecture, architecture)
    return AutoModelForSequenceClassification.from_pretrained(folder)


def inputs():
    mask = torch.ones(4, 9, dtype=torch.long)
    mask[1, 5:] = mask[3, 2:] = 0
    return {"input_ids": torch.randint(5, 20, (4, 9)) * mask, "attention_mask": mask}


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "mpnet"])
def test_a_model_trains_with_it_and_is_itself_afterwards(tmp_path, architecture, monkeypatch):
    model = open_model(tmp_path, architecture)
    names, kinds = list(model.state_dict()), [type(module) for module in model.modules()]
    implementation, batch = model.config._attn_implementation, inputs()
    calls = []
    apply = attention_module.DropoutAttention.apply
    monkeypatch.setattr(attention_module.DropoutAttention, "apply", lambda *a: calls.append(1) or apply(*a))
    expected = model.eval()(**batch).logits
    fast = FastRandomness(model)
    assert list(model.state_dict()) == names
    assert torch.equal(model.eval()(**batch).logits, expected)
    assert calls == []
    model.train()
    torch.manual_seed(3)
    first = model(**batch).logits
    first.sum().backward()
    assert not torch.equal(first, model(**batch).logits)
    torch.manual_seed(3)
    assert torch.equal(first, model(**batch).logits)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    # MPNet has its own attention; its dropout is a layer.
    assert len(calls) == (0 if architecture == "mpnet" else 3 * 2)
    assert any(type(module) is FastDropout for module in model.modules())
    fast.let_go()
    fast.let_go()
    assert [type(module) for module in model.modules()] == kinds
    assert model.config._attn_implementation == implementation
    assert torch.equal(model.eval()(**batch).logits, expected)


def test_what_is_saved_meanwhile_knows_nothing_of_it(tmp_path):
    model = open_model(tmp_path, "bert")
    fast = FastRandomness(model)
    model.save_pretrained(tmp_path / "saved")
    assert attention_module.NAME not in (tmp_path / "saved/config.json").read_text()
    assert "dropout_noise" not in json.dumps(model.config.to_dict())
    fast.let_go()


def test_checkpointed_activations_see_the_same_draws(tmp_path):
    model = open_model(tmp_path, "bert")
    FastRandomness(model)
    gradients, batch = [], inputs()
    for checkpointing in (False, True):
        twin = copy.deepcopy(model).train()
        if checkpointing:
            twin.activation_checkpointing_enable()
            assert twin.is_activation_checkpointing
        torch.manual_seed(2)
        twin(**batch).logits.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_a_layer_of_its_own_kind_is_left_alone():
    class Own(nn.Dropout):
        pass

    model = nn.Sequential(Own(0.1), nn.Dropout(0.1), nn.Dropout2d(0.1))
    FastRandomness(model)
    assert [type(layer) for layer in model] == [Own, FastDropout, nn.Dropout2d]
