"""Heads: padding and batch mates never change a row, and the LSTM equals a packed one."""

import pytest
import torch
from torch import nn

from hf_transfer.hub.heads_transfer import HEADS, Features, LSTMHead, Pooling

LENGTHS = torch.tensor([5, 3, 1, 4])


@pytest.fixture
def batch():
    torch.manual_seed(0)
    tokens = torch.randn(4, 5, 6)
    mask = (torch.arange(5) < LENGTHS.unsqueeze(1)).long()
    return tokens, mask


def features(head, tokens, mask):
    return Features(tokens, mask, Pooling("mean", tokens.shape[-1])(tokens, mask))


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_padding_and_batch_mates_change_nothing(kind, batch):
    tokens, mask = batch
    head = HEADS[kind](6, 3).eval()
    together = head(features(head, tokens, mask))
    rubbish = torch.cat([tokens.masked_fill(mask.unsqueeze(-1) == 0, 99.0), torch.full((4, 3, 6), -7.0)], 1)
    padded = head(features(head, rubbish, torch.cat([mask, torch.zeros(4, 3, dtype=torch.long)], 1)))
    torch.testing.assert_close(padded, together, atol=1e-6, rtol=0)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = head(features(head, tokens[row : row + 1, :length], mask[row : row + 1, :length]))
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("layers,both", [(1, True), (2, True), (3, False)])
def test_lstm_equals_torchs_packed_lstm(layers, both, batch):
    tokens, mask = batch
    ours = LSTMHead(6, 3, hidden_size=4, num_layers=layers, dropout=0.0, bidirectional=both).eval()
    packed = nn.LSTM(6, 4, num_layers=layers, batch_first=True, bidirectional=both)
    with torch.no_grad():
        for way, stack in (("", ours.forward_layers), ("_reverse", ours.backward_layers)):
            for number, layer in enumerate(stack):
                for name, parameter in layer.named_parameters():
                    getattr(packed, name.replace("_l0", f"_l{number}{way}")).copy_(parameter)
    rows = nn.utils.rnn.pack_padded_sequence(tokens, LENGTHS, batch_first=True, enforce_sorted=False)
    ends = packed(rows)[1][0]
    expected = ours.out(torch.cat([ends[-2], ends[-1]], -1) if both else ends[-1])
    torch.testing.assert_close(ours(Features(tokens, mask)), expected, atol=1e-6, rtol=0)


def test_pooling_by_hand():
    tokens = torch.tensor([[[1.0, 8.0], [3.0, -2.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert Pooling("cls", 2)(tokens, mask).tolist() == [[1.0, 8.0]]
    assert Pooling("mean", 2)(tokens, mask).tolist() == [[2.0, 3.0]]
    assert Pooling("max", 2)(tokens, mask).tolist() == [[3.0, 8.0]]
    attention = Pooling("attention", 2)
    nn.init.zeros_(attention.score.weight)  # equal scores: the mean over real tokens
    torch.testing.assert_close(attention(tokens, mask), torch.tensor([[2.0, 3.0]]))
    normalized = Pooling("mean", 2, normalize=True)(tokens, mask)
    torch.testing.assert_close(normalized, torch.tensor([[2.0, 3.0]]) / 13**0.5)
