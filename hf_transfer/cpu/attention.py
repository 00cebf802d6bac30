"""Attention with dropout for training on a CPU, as an attention implementation of transformers.

No fused kernel of PyTorch knows dropout on a CPU: `scaled_dot_product_attention` then takes its mathematical path, in
float32 even under autocast, and draws a random number for each probability. Its fused kernel without dropout computes
the backward pass of short texts slowly. Here are the five products of attention and its gradient, in the dtype of
queries and keys, with softmax and its gradient as PyTorch fuses them.
"""

from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .noise import drawable, dropout_noise

NAME = "sdpa_with_cpu_dropout"

_added: WeakTensorKeyDictionary = WeakTensorKeyDictionary()  # a mask serves every layer of its model


class Segment(NamedTuple):
    """Rows of one length that stand end to end in a sequence.

    Args:
        rows (`int`), length (`int`): how many, and the tokens of each.
        mask (`torch.Tensor`, *optional*): true at tokens that are none of padding, of shape `(rows, 1, 1, length)`;
            none where there is no padding.
    """

    rows: int
    length: int
    mask: torch.Tensor | None


def attention(
    module, query, key, value, attention_mask, dropout=0.0, scaling=None, is_causal=None, segments=None, **kwargs
):
    """An attention function as transformers calls it; whatever has no dropout on a CPU goes to `sdpa`.

    Args:
        query, key, value (`torch.Tensor`): of shape `(batch, heads, tokens, width)`.
        attention_mask (`torch.Tensor`, *optional*): true where attention is allowed, or what is added to the scores;
            broadcast to `(batch, heads, tokens, tokens)`.
        dropout (`float`): of the probabilities.
        scaling (`float`, *optional*): of the scores; by default `width ** -0.5`.
        segments (`Sequence[Segment]`, *optional*): what a batch of one sequence consists of, in order; tokens attend
            to those of their own row, and `attention_mask` is not read.

    Returns:
        The outputs, of shape `(batch, tokens, heads, width)`, and None in the place of the probabilities.
    """
    if segments is not None:
        settings = dict(dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs)
        return _within_segments(module, (query, key, value), segments, settings), None
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    alike = query.dtype == key.dtype == value.dtype and query.shape[1] == key.shape[1]
    more = any(kwargs.get(name) is not None for name in ("position_bias", "cache", "softcap"))
    if not (alike and drawable(dropout, query)) or causal or more:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal=is_causal, **kwargs
        )
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    bias = None if attention_mask is None else _bias(attention_mask, query.dtype)
    with torch.autocast("cpu", enabled=False):
        outputs = DropoutAttention.apply(query, key, value, bias, dropout, scaling)
    return outputs.transpose(1, 2).contiguous(), None


def _within_segments(module, tensors, segments, settings: dict) -> torch.Tensor:
    sizes, outputs = [segment.rows * segment.length for segment in segments], []
    parts = zip(*(tensor.split(sizes, dim=2) for tensor in tensors), strict=True)
    for segment, part in zip(segments, parts, strict=True):
        # From (1, heads, rows * length, width) to (rows, heads, length, width).
        rows = (tensor[0].unflatten(1, (segment.rows, segment.length)).transpose(0, 1) for tensor in part)
        outputs.append(attention(module, *rows, segment.mask, **settings)[0].flatten(0, 1))
    return torch.cat(outputs)[None]


class DropoutAttention(torch.autograd.Function):
    """dropout(softmax(scale Q K' + bias)) V (Vaswani et al. 2017, eq. 1) and its gradient."""

    @staticmethod
    def forward(ctx, query, key, value, bias, p: float, scale: float):
        heads = query.shape[:2]
        query, key, value = (tensor.flatten(0, 1) for tensor in (query, key, value))
        scores = torch.bmm(query, key.transpose(1, 2)).mul_(scale)
        if bias is not None:
            scores.unflatten(0, heads).add_(bias)
        shares = torch.softmax(scores, -1)
        noise = dropout_noise(shares.shape, p, shares.dtype)
        kept = shares * noise
        ctx.save_for_backward(query, key, value, shares, noise, kept)
        ctx.scale, ctx.heads = scale, heads
        return torch.bmm(kept, value).unflatten(0, heads)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        query, key, value, shares, noise, kept = ctx.saved_tensors
        gradient = gradient.flatten(0, 1)
        of_value = torch.bmm(kept.transpose(1, 2), gradient)
        of_shares = torch.bmm(gradient, value.transpose(1, 2)).mul_(noise)
        of_scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype).mul_(ctx.scale)
        of_query, of_key = torch.bmm(of_scores, key), torch.bmm(of_scores.transpose(1, 2), query)
        return *(tensor.unflatten(0, ctx.heads) for tensor in (of_query, of_key, of_value)), None, None, None


def _bias(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    found = _added.get(mask)
    if found is None or found.dtype != dtype:
        found = _added[mask] = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
    return found


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
