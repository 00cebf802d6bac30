"""All rows of a training batch as one sequence: linear layers run once on all tokens, attention stays within its row.

Small products run far below the rate of a machine, and a weight's gradient is added up once for every call; that of
MiniLM's embeddings alone is 47 MB. So the groups of `length_chunks.py` are laid end to end, and the encoder is called
once. Only attention looks at more than one token, and it is told where each group lies.
"""

from collections.abc import Callable, Sequence

import torch

from .cpu.attention import NAME, Segment

# What takes positions as an argument, hands what it does not know to attention, and mixes tokens nowhere else;
# tests/test_length_chunks.py compares each with the padded batch.
ARCHITECTURES = ("bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")


def serves(encoder) -> bool:
    """Whether `encoder` can read the rows of a batch as one sequence, here and now."""
    config = getattr(encoder, "config", None)  # input embeddings alone have none
    return getattr(config, "model_type", None) in ARCHITECTURES and config._attn_implementation == NAME


def in_one_call(
    encoder,
    whole: Callable,
    groups: Sequence[tuple[torch.Tensor, int]],
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    **kwargs,
):
    """Call an encoder once on the tokens of all groups.

    Args:
        whole (`Callable`): its own `forward`.
        groups (`Sequence[tuple[torch.Tensor, int]]`): row numbers, and the tokens that are computed of each; every row
            stands in one of them.
        input_ids (`torch.Tensor`), attention_mask (`torch.Tensor`): of shape `(batch, length)`, padded on the right.

    Returns:
        Its output for the padded batch; states that were not computed are zeros.
    """
    shape, device = input_ids.shape, input_ids.device
    places = [rows[:, None] * shape[1] + torch.arange(length, device=device) for rows, length in groups]
    order = torch.cat([place.flatten() for place in places])
    inputs = {
        name: value.flatten()[order][None] if isinstance(value, torch.Tensor) and value.shape == shape else value
        for name, value in {"input_ids": input_ids, **kwargs}.items()
    }
    if inputs.get("position_ids") is None:
        inputs["position_ids"] = (order % shape[1])[None] + _first_position(encoder)
    outputs = whole(**inputs, segments=[_segment(attention_mask[rows, :length]) for rows, length in groups])

    def padded(states: torch.Tensor) -> torch.Tensor:
        empty = states.new_zeros(shape.numel(), states.shape[-1])
        return empty.index_copy(0, order, states[0]).unflatten(0, shape)

    found = {"last_hidden_state": padded(outputs.last_hidden_state)}
    if outputs.get("hidden_states") is not None:
        found["hidden_states"] = tuple(padded(states) for states in outputs.hidden_states)
    if outputs.get("pooler_output") is not None:  # it read the first token of the first row alone
        found["pooler_output"] = encoder.pooler(found["last_hidden_state"])
    return type(outputs)(**found)


def _segment(mask: torch.Tensor) -> Segment:
    return Segment(*mask.shape, None if mask.all() else mask[:, None, None].bool())


def _first_position(encoder) -> int:
    """RoBERTa and its kind count positions from behind the padding token's id; the others from 0."""
    padding = encoder.embeddings.position_embeddings.padding_idx
    return 0 if padding is None else padding + 1
