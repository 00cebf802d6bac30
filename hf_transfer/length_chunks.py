"""No padding is computed on, and yet any rows may stand together in a training batch.

Batches of rows of like length waste nothing, but length says something of the class (long messages are spam), and
steps on one class at a time learn worse. So rows are drawn at random, and what works token by token runs on the rows
of a batch in a few groups of like length: one call for each or, where the architecture allows it, one call for all of
them (`one_sequence.py`, for an LSTM `cpu/lstm.py`). The objective sees the batch as it is, and the gradients are those
of the padded batch.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from .backbones.trust import is_foreign
from .cpu.lstm import lstm_logits, product_dtype
from .hub.heads_transfer import LSTMHead
from .one_sequence import in_one_call, serves

# What a group costs beyond its tokens: an encoder's calls, and its weights read once more, as many tokens; an LSTM's,
# at every step, as many rows. For a CPU the best of a few that were tried by hand with MiniLM and the default LSTM
# head; a GPU wants larger products, and was not measured. Only the time depends on them.
CALL_TOKENS = {"cpu": 96, "cuda": 2048}
ATTENTION_TOKENS = 32  # where a group costs no more than its calls of attention
STEP_ROWS = {"cpu": 8, "cuda": 256}
BY_TOKEN = ("last_hidden_state", "hidden_states")  # outputs with one state per token


class LengthChunks:
    """Lets the parts of a model that work token by token run on groups of rows while they train.

    Those are the encoder of a text classifier (unless it is code of a third party, whose ways are unknown) and a head
    of ours that reads token states, on recorded ones too. In evaluation everything is as it was.

    Args:
        model (`nn.Module`): a model, or its replay.
    """

    def __init__(self, model: nn.Module):
        self.replaced: list[nn.Module] = []
        encoder, head = getattr(model, "base_model", None), getattr(model, "head", None)
        if encoder is not None and getattr(model, "main_input_name", "") == "input_ids" and not is_foreign(model):
            self._replace(encoder, _encoder_forward)
        if getattr(head, "reads", None) == "tokens":
            self._replace(head, _head_forward)

    def remove(self) -> None:
        """Give each module its own `forward` back."""
        while self.replaced:
            del self.replaced.pop().forward

    def _replace(self, module: nn.Module, forward) -> None:
        module.forward = partial(forward, module, module.forward)
        self.replaced.append(module)


def _encoder_forward(encoder, whole, input_ids=None, attention_mask=None, **kwargs):
    """Run an encoder on groups of rows; states at padding are zeros.

    Args:
        whole (`Callable`): its own `forward`, which reads `input_ids` and `attention_mask` of shape `(batch, length)`,
            padded on the right.
    """
    usual = input_ids is None or attention_mask is None or attention_mask.ndim != 2
    if usual or not encoder.training or kwargs.get("output_attentions") or kwargs.get("return_dict") is False:
        return whole(input_ids, attention_mask=attention_mask, **kwargs)
    at_once = serves(encoder)
    call = ATTENTION_TOKENS if at_once else CALL_TOKENS.get(input_ids.device.type, CALL_TOKENS["cuda"])
    groups = _groups(attention_mask, call=call)
    if len(groups) == 1:
        return whole(input_ids, attention_mask=attention_mask, **kwargs)
    if at_once:
        return in_one_call(encoder, whole, groups, input_ids, attention_mask, **kwargs)
    shape = input_ids.shape
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **kwargs}

    def part(rows: torch.Tensor, length: int):
        by_token = lambda value: isinstance(value, torch.Tensor) and value.shape == shape  # noqa: E731
        return whole(**{name: value[rows, :length] if by_token(value) else value for name, value in inputs.items()})

    parts = [part(*group) for group in groups]
    return _joined(parts, torch.cat([rows for rows, _ in groups]).argsort(), shape[1])


def _head_forward(head, whole, features):
    """Run a head that reads token states on groups of rows."""
    if not head.training:
        return whole(features)
    if _steps_together(head, features.tokens):
        return lstm_logits(head, features.tokens, features.mask.sum(1).clamp(min=1), product_dtype())
    groups = _groups(features.mask, step=STEP_ROWS.get(features.mask.device.type, STEP_ROWS["cuda"]))
    if len(groups) == 1:
        return whole(features)
    parts = [
        whole(
            features._replace(
                tokens=features.tokens[rows, :length],
                mask=features.mask[rows, :length],
                pooled=None if features.pooled is None else features.pooled[rows],
            )
        )
        for rows, length in groups
    ]
    return torch.cat(parts)[torch.cat([rows for rows, _ in groups]).argsort()]


def _steps_together(head, tokens: torch.Tensor) -> bool:
    """Whether rows of all lengths take a head's steps together: in float32, where it was measured to gain
    (`benchmarks/cpu_kernels.py`). Of bfloat16 that is not known yet."""
    in_float32 = product_dtype() == head.out.weight.dtype == torch.float32
    return type(head) is LSTMHead and tokens.device.type == "cpu" and in_float32


def _groups(mask: torch.Tensor, call: int = 0, step: int = 0) -> list[tuple[torch.Tensor, int]]:
    planned = plan(mask.sum(1).tolist(), call, step)
    return [(torch.tensor(rows, device=mask.device), length) for rows, length in planned]


def plan(lengths: Sequence[int], call: int, step: int) -> list[tuple[list[int], int]]:
    """Group rows so that the sum over groups of `length * (rows + step) + call` is least.

    Args:
        lengths (`Sequence[int]`): tokens in each row.
        call (`int`): what a group costs, in tokens.
        step (`int`): what each of its steps costs, in rows.

    Returns:
        For each group its rows, in ascending length, and the length of the longest.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    least, start = [0], [0]  # cost of the first n rows in ascending length, and where their last group starts
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        cost, first = min((least[first] + longest * (end - first + step) + call, first) for first in range(end))
        least.append(cost)
        start.append(first)
    groups, end = [], len(order)
    while end:
        groups.append((order[start[end] : end], lengths[order[end - 1]]))
        end = start[end]
    return groups[::-1]


def _joined(parts: list, order: torch.Tensor, longest: int):
    """Put the outputs of groups together again, in the batch's own order."""

    def join(name: str, values: Sequence[torch.Tensor]) -> torch.Tensor:
        if name in BY_TOKEN:
            values = [F.pad(value, (0, 0, 0, longest - value.shape[1])) for value in values]
        return torch.cat(list(values))[order]

    joined = {}
    for name, value in parts[0].items():
        if isinstance(value, tuple):  # one for each layer
            layers = zip(*(part[name] for part in parts), strict=True)
            joined[name] = tuple(join(name, layer) for layer in layers)
        else:
            joined[name] = join(name, [part[name] for part in parts])
    return type(parts[0])(**joined)
