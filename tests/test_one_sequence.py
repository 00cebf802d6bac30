"""An encoder that reads a batch's rows as one sequence gives what it gives on the padded batch, gradients too."""

import pytest
import torch
from text_step import built, step
from torch import nn

from hf_transfer import length_chunks
from hf_transfer.cpu import attention
from hf_transfer.cpu.swap import FastRandomness
from hf_transfer.length_chunks import LengthChunks
from hf_transfer.one_sequence import ARCHITECTURES


@pytest.fixture(autouse=True)
def cheap_groups(monkeypatch):
    monkeypatch.setattr(length_chunks, "ATTENTION_TOKENS", 1)


def seen_by(module: nn.Module) -> list[tuple]:
    shapes = []
    module.register_forward_hook(lambda module, read, out: shapes.append(tuple(out.shape[:2])))
    return shapes


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_and_gradients_are_those_of_the_padded_batch(architecture, dropout, tmp_path, monkeypatch):
    model, inputs = built(tmp_path, architecture)
    logits, gradients = step(model, inputs)
    if dropout:  # its own products, with nothing dropped
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.5
        ones = lambda shape, p, dtype: torch.ones(shape, dtype=dtype)  # noqa: E731
        monkeypatch.setattr("hf_transfer.cpu.dropout.dropout_noise", ones)
        monkeypatch.setattr(attention, "dropout_mask", ones)
        monkeypatch.setattr(attention, "dropout_factor", lambda p: 1.0)
    LengthChunks(model)
    FastRandomness(model)
    shapes = seen_by(model.get_input_embeddings())
    found, others = step(model, inputs)
    assert len(shapes) == 1 and shapes[0][0] == 1  # one call, one row
    assert inputs["attention_mask"].sum() <= shapes[0][1] < inputs["input_ids"].numel()
    torch.testing.assert_close(found, logits, atol=1e-5, rtol=1e-4)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-3, msg=name)
    model.eval()(**inputs)
    assert shapes[1] == tuple(inputs["input_ids"].shape)


def test_all_states_come_back_in_order(tmp_path):
    model, inputs = built(tmp_path, "bert")
    encoder = model.base_model
    whole = encoder(**inputs, output_hidden_states=True)
    LengthChunks(model)
    FastRandomness(model)
    shapes = seen_by(model.get_input_embeddings())
    found = encoder(**inputs, output_hidden_states=True)
    assert len(shapes) == 1 and len(found.hidden_states) == len(whole.hidden_states) == 3
    real = inputs["attention_mask"].bool()
    pairs = zip(
        (*found.hidden_states, found.last_hidden_state), (*whole.hidden_states, whole.last_hidden_state), strict=True
    )
    for one, other in pairs:
        torch.testing.assert_close(one[real], other[real], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.pooler_output, whole.pooler_output, atol=1e-5, rtol=1e-4)


def test_token_types_and_given_positions_go_along(tmp_path):
    model, inputs = built(tmp_path, "bert")
    shape = inputs["input_ids"].shape
    inputs["token_type_ids"] = (torch.arange(shape[1]) > 3).long().expand(shape).contiguous()
    inputs["position_ids"] = torch.arange(shape[1]).flip(0).expand(shape).contiguous()
    whole = model(**inputs).logits
    LengthChunks(model)
    FastRandomness(model)
    shapes = seen_by(model.get_input_embeddings())
    torch.testing.assert_close(model(**inputs).logits, whole, atol=1e-5, rtol=1e-4)
    assert len(shapes) == 1


def test_gradient_checkpointing_runs_over_it(tmp_path):
    model, inputs = built(tmp_path, "bert")
    _, gradients = step(model, inputs)
    model.activation_checkpointing_enable()
    LengthChunks(model)
    FastRandomness(model)
    _, others = step(model, inputs)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-3, msg=name)
