"""An encoder that runs on groups of like length gives what it gives on the padded batch, gradients too."""

import itertools
import random

import pytest
import torch
from text_step import built, step

from hf_transfer import GRUHead, LinearHead, LSTMHead, length_chunks
from hf_transfer.length_chunks import LengthChunks, plan
from hf_transfer.replay import replay_of

ARCHITECTURES = ("bert", "roberta", "distilbert", "deberta-v2", "electra", "modernbert", "mpnet", "albert")


@pytest.fixture(autouse=True)
def cheap_groups(monkeypatch):
    """The mini texts are so short that in earnest a single group would cost least."""
    monkeypatch.setitem(length_chunks.CALL_TOKENS, "cpu", 2)
    monkeypatch.setitem(length_chunks.STEP_ROWS, "cpu", 0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_and_gradients_are_those_of_the_padded_batch(architecture, tmp_path):
    model, inputs = built(tmp_path, architecture)
    logits, gradients = step(model, inputs)
    chunks, lengths = LengthChunks(model), []
    watch = model.get_input_embeddings().register_forward_hook(lambda module, read, out: lengths.append(out.shape[1]))
    found, others = step(model, inputs)
    assert len(lengths) > 1 and lengths[-1] == inputs["input_ids"].shape[1]  # it did run in groups
    torch.testing.assert_close(found, logits, atol=1e-5, rtol=1e-4)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-3, msg=name)
    # In evaluation, and once it is gone, the encoder runs on the batch as it is.
    lengths.clear()
    model.eval()(**inputs)
    chunks.remove()
    model.train()(**inputs)
    watch.remove()
    assert len(lengths) == 2


@pytest.mark.parametrize(
    "head",
    [LinearHead(), LSTMHead(4, 1, dropout=0.0), GRUHead(4, 1, dropout=0.0)],
    ids=lambda head: type(head).__name__,
)
def test_heads_of_ours_see_the_whole_batch(head, tmp_path):
    model, inputs = built(tmp_path, "bert", head)
    logits, gradients = step(model, inputs)
    LengthChunks(model)
    found, others = step(model, inputs)
    torch.testing.assert_close(found, logits, atol=1e-5, rtol=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_a_head_on_recorded_states_runs_in_groups(tmp_path):
    model, inputs = built(tmp_path, "bert", GRUHead(4, 1, dropout=0.0))
    replay = replay_of(model)
    recorded = {name: value for name, value in replay.record(model, inputs).items() if name in ("tokens", "mask")}
    whole, gradients = step(replay, recorded)
    LengthChunks(replay)
    lengths = []
    replay.head.forward_layers[0].register_forward_hook(lambda module, read, out: lengths.append(out[0].shape[1]))
    found, others = step(replay, recorded)
    assert len(lengths) > 1 and lengths[-1] == recorded["tokens"].shape[1]
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_all_hidden_states_come_back_in_order(tmp_path):
    model, inputs = built(tmp_path, "bert")
    encoder = model.base_model
    whole = encoder(**inputs, output_hidden_states=True).hidden_states
    LengthChunks(model)
    chunked = encoder(**inputs, output_hidden_states=True).hidden_states
    real = inputs["attention_mask"].bool()
    assert len(chunked) == len(whole) == 3
    for one, other in zip(chunked, whole, strict=True):
        torch.testing.assert_close(one[real], other[real], atol=1e-5, rtol=1e-4)


def test_the_plan_costs_least():
    draw = random.Random(0)
    for _ in range(20):
        lengths = [draw.randint(1, 12) for _ in range(7)]
        for call, every in ((0, 0), (3, 0), (40, 0), (0, 2), (3, 2)):
            groups = plan(lengths, call, every)
            assert sorted(row for rows, _ in groups for row in rows) == list(range(7))
            assert all(length == max(lengths[row] for row in rows) for rows, length in groups)
            ordered = sorted(lengths)
            ways = [
                [0, *cuts, 7] for count in range(7) for cuts in itertools.combinations(range(1, 7), count)
            ]  # every way to cut the sorted rows
            least = min(
                sum(ordered[b - 1] * (b - a + every) + call for a, b in itertools.pairwise(cuts)) for cuts in ways
            )
            assert sum(length * (len(rows) + every) + call for rows, length in groups) == least
