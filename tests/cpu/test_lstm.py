"""The LSTM head trained on rows of all lengths at once gives what it gives on the padded batch, gradients too."""

import pytest
import torch

from hf_transfer.cpu import lstm
from hf_transfer.cpu.lstm import lstm_logits, steps_of
from hf_transfer.hub.heads_transfer import Features, LSTMHead
from hf_transfer.length_chunks import LengthChunks

LENGTHS = torch.tensor([3, 1, 7, 7, 2, 5])


class Model(torch.nn.Module):
    """No more than the part of a model that reads token states."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, tokens, lengths):
        mask = (torch.arange(tokens.shape[1]) < lengths[:, None]).long()
        return self.head(Features(tokens, mask))


def made(layers: int = 2, both: bool = True, size: int = 8, dropout: float = 0.0) -> LSTMHead:
    torch.manual_seed(0)
    return LSTMHead(12, 3, hidden_size=size, num_layers=layers, dropout=dropout, bidirectional=both).train()


def step(head, logits_of, lengths=LENGTHS, scale=1.0) -> dict[str, torch.Tensor]:
    """Logits, and the gradients of everything, of a loss that weighs every logit in its own way."""
    torch.manual_seed(1)
    tokens = (scale * torch.randn(len(lengths), int(lengths.max()), 12)).requires_grad_()
    head.zero_grad()
    logits = logits_of(tokens, lengths)
    (logits.float() * torch.randn(logits.shape)).sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in head.named_parameters()}
    return {"logits": logits.detach(), "tokens": tokens.grad, **gradients}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("lengths", [LENGTHS.tolist(), [1, 1, 1], [6], [4, 4]], ids=str)
def test_logits_and_gradients_are_those_of_the_padded_batch(lengths, layers, both, threads):
    head, lengths, before = made(layers, both), torch.tensor(lengths), torch.get_num_threads()
    expected = step(head, Model(head), lengths)
    torch.set_num_threads(threads)
    try:
        found = step(head, lambda tokens, lengths: lstm_logits(head, tokens, lengths, torch.float32), lengths)
    finally:
        torch.set_num_threads(before)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=2e-6, rtol=1e-5, msg=name)


def test_the_model_in_training_takes_this_way_and_no_other(monkeypatch):
    model, seen = Model(made()), []
    expected = step(model.head, model)
    plan = lstm.steps_of
    monkeypatch.setattr(lstm, "steps_of", lambda *of: seen.append(of) or plan(*of))
    chunks = LengthChunks(model)
    found = step(model.head, model)
    assert len(seen) == 1
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=2e-6, rtol=1e-5, msg=name)
    model.eval()
    model(torch.randn(6, 7, 12), LENGTHS)
    chunks.remove()
    model.train()
    model(torch.randn(6, 7, 12), LENGTHS)
    assert len(seen) == 1


def test_the_same_twice_and_on_any_number_of_threads():
    head, found = made(dropout=0.5), []
    for threads in (1, 2, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            found.append(step(head, lambda tokens, lengths: lstm_logits(head, tokens, lengths, torch.float32)))
        finally:
            torch.set_num_threads(before)
    for name, value in found[0].items():
        assert all(torch.equal(other[name], value) for other in found[1:]), name
    head.dropout.p = 0.0
    assert not torch.equal(found[0]["logits"], step(head, Model(head))["logits"])  # dropout did act


def test_products_in_bfloat16_stay_near_and_sums_stay_float32():
    head = made(size=16)
    expected = step(head, Model(head))
    found = step(head, lambda tokens, lengths: lstm_logits(head, tokens, lengths, torch.bfloat16))
    assert found["logits"].dtype == found["tokens"].dtype == torch.float32
    for name, value in expected.items():
        cosine = torch.cosine_similarity(found[name].flatten(), value.flatten(), dim=0)
        assert cosine > 0.999, name
    assert not torch.equal(found["logits"], expected["logits"])


def test_padding_is_never_read():
    head = made()
    tokens = torch.randn(6, 7, 12)
    spoilt = tokens.clone()
    spoilt[torch.arange(7) >= LENGTHS[:, None]] = torch.nan
    first, second = (lstm_logits(head, states, LENGTHS, torch.float32) for states in (tokens, spoilt))
    assert torch.equal(first, second)


def test_the_plan_of_three_rows_by_hand():
    # Rows of 1, 3 and 2 tokens, padded to 3: steps compute rows (1, 2, 0), (1, 2), (1).
    steps = steps_of(torch.tensor([1, 3, 2]), 3)
    assert steps.rows.tolist() == [1, 2, 0] and steps.sizes == [3, 2, 1]
    assert steps.places.tolist() == [3, 6, 0, 4, 7, 5]
    assert steps.mirrored.tolist() == [5, 4, 2, 3, 1, 0]
    assert steps.last.tolist() == [5, 4, 2]
