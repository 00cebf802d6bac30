"""Heads: padding and batch mates never change a row, and the recurrent ones equal packed ones."""

import pytest
import torch
from torch import nn

from hf_transfer.hub.heads_transfer import HEADS, AttentionHead, Features, GRUHead, LSTMHead, Pooling

LENGTHS = torch.tensor([5, 3, 1, 4])


@pytest.fixture
def batch():
    torch.manual_seed(0)
    tokens = torch.randn(4, 5, 8)
    mask = (torch.arange(5) < LENGTHS.unsqueeze(1)).long()
    return tokens, mask


def features(head, tokens, mask):
    return Features(tokens, mask, Pooling("mean", tokens.shape[-1])(tokens, mask))


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_padding_and_batch_mates_change_nothing(kind, batch):
    tokens, mask = batch
    head = HEADS[kind](8, 3).eval()
    together = head(features(head, tokens, mask))
    rubbish = torch.cat([tokens.masked_fill(mask.unsqueeze(-1) == 0, 99.0), torch.full((4, 3, 8), -7.0)], 1)
    padded = head(features(head, rubbish, torch.cat([mask, torch.zeros(4, 3, dtype=torch.long)], 1)))
    torch.testing.assert_close(padded, together, atol=1e-6, rtol=0)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = head(features(head, tokens[row : row + 1, :length], mask[row : row + 1, :length]))
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("head", [LSTMHead, GRUHead])
@pytest.mark.parametrize("layers,both", [(1, True), (2, True), (3, False)])
def test_recurrent_heads_equal_torchs_packed_ones(layers, both, head, batch):
    tokens, mask = batch
    ours = head(8, 3, hidden_size=4, num_layers=layers, dropout=0.0, bidirectional=both).eval()
    packed = head.cell(8, 4, num_layers=layers, batch_first=True, bidirectional=both)
    with torch.no_grad():
        for way, stack in (("", ours.forward_layers), ("_reverse", ours.backward_layers)):
            for number, layer in enumerate(stack):
                for name, parameter in layer.named_parameters():
                    getattr(packed, name.replace("_l0", f"_l{number}{way}")).copy_(parameter)
    rows = nn.utils.rnn.pack_padded_sequence(tokens, LENGTHS, batch_first=True, enforce_sorted=False)
    last = packed(rows)[1]
    ends = last[0] if head is LSTMHead else last
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


def test_attention_head_by_hand(batch):
    """Each head: softmax over real tokens of its query with its keys, and the weighted sum of its values."""
    tokens, mask = batch
    head = AttentionHead(8, 3, num_heads=2, dropout=0.0).eval()
    attention = head.attention
    query, keys, values = (
        states @ weight.T + bias
        for states, weight, bias in zip(
            (head.query, tokens, tokens),
            attention.in_proj_weight.chunk(3),
            attention.in_proj_bias.chunk(3),
            strict=True,
        )
    )
    parts = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = (keys[..., part] * query[..., part]).sum(-1) / 4**0.5
        weights = scores.masked_fill(mask == 0, float("-inf")).softmax(1)
        parts.append((weights.unsqueeze(-1) * values[..., part]).sum(1))
    expected = head.out(attention.out_proj(torch.cat(parts, -1)))
    torch.testing.assert_close(head(Features(tokens, mask)), expected)


def test_a_row_without_tokens_gives_numbers():
    tokens, mask = torch.randn(2, 3, 8), torch.tensor([[1, 1, 0], [0, 0, 0]])
    for kind in HEADS:
        pooled = Pooling("mean", 8)(tokens, mask)
        assert HEADS[kind](8, 3).eval()(Features(tokens, mask, pooled)).isfinite().all(), kind


@pytest.mark.parametrize("head", [LSTMHead, GRUHead])
def test_a_cpu_without_bfloat16_runs_a_recurrent_head_in_float32(head, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    torch.manual_seed(0)
    model, features = head(8, 3, hidden_size=4).eval(), Features(torch.randn(5, 7, 8), torch.ones(5, 7))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model(features)
    assert found.dtype == torch.float32 and torch.equal(found, model(features))
