"""Attention with dropout for training on a CPU, as an attention implementation of transformers.

No fused kernel of PyTorch knows dropout on a CPU: `scaled_dot_product_attention` then takes its mathematical path, in
float32 even under autocast, and draws a random number for each probability. Its fused kernel without dropout computes
the backward pass of short texts slowly. Here are the six products of attention and its gradient, in the dtype of
queries and keys, with softmax and its gradient as PyTorch fuses them. What merely scales is left to the products, and
each tensor is copied once into the layout of the next product, for all segments of a sequence within one function.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .noise import drawable, dropout_factor, dropout_mask

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
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    alike = query.dtype == key.dtype == value.dtype and query.shape[1] == key.shape[1]
    more = any(kwargs.get(name) is not None for name in ("position_bias", "cache", "softcap"))
    if not (alike and drawable(dropout, query)) or causal or more:
        settings = dict(dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs)
        if segments is None:
            return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return _segment_by_segment(module, (query, key, value), segments, settings), None
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    masks = [attention_mask] if segments is None else [segment.mask for segment in segments]
    biases = [None if mask is None else _bias(mask, query.dtype) for mask in masks]
    with torch.autocast("cpu", enabled=False):
        outputs = DropoutAttention.apply(query, key, value, segments, biases, dropout, scaling)
    return outputs, None


def _segment_by_segment(module, tensors, segments, settings: dict) -> torch.Tensor:
    outputs = []
    for segment, *part in zip(segments, *(_parts(tensor, segments) for tensor in tensors), strict=True):
        outputs.append(sdpa_attention_forward(module, *part, segment.mask, **settings)[0].flatten(0, 1))
    return torch.cat(outputs)[None]


def _parts(tensor: torch.Tensor, segments: Sequence[Segment] | None) -> list[torch.Tensor]:
    """Return a view of each segment, from (1, heads, tokens, width) to (rows, heads, length, width)."""
    if segments is None:
        return [tensor]
    parts = tensor[0].split([segment.rows * segment.length for segment in segments], dim=1)
    return [
        part.unflatten(1, (segment.rows, segment.length)).transpose(0, 1)
        for segment, part in zip(segments, parts, strict=True)
    ]


class DropoutAttention(torch.autograd.Function):
    """dropout(softmax(scale Q K' + bias)) V (Vaswani et al. 2017, eq. 1) and its gradient, segment by segment.

    Queries, keys, values and their gradients are of shape `(batch, heads, tokens, width)`, the outputs of shape
    `(batch, tokens, heads, width)`; without segments, `biases` holds one for the whole batch.
    """

    @staticmethod
    def forward(ctx, query, key, value, segments, biases, p: float, scale: float):
        outputs = _by_token(value, (*query.shape[:3], value.shape[3]))
        ctx.shapes, ctx.segments = [tensor.shape for tensor in (query, key, value)], segments
        ctx.scale, ctx.factor = scale, dropout_factor(p)
        saved, tensors = [], (outputs, query, key, value)
        for bias, place, *part in zip(biases, *(_parts(tensor, segments) for tensor in tensors), strict=True):
            heads = place.shape[:2]
            query, key, value = (tensor.flatten(0, 1) for tensor in part)
            scores = _product(query, key.transpose(1, 2), scale)
            if bias is not None:
                scores.unflatten(0, heads).add_(bias)
            shares = torch.softmax(scores, -1)
            mask = dropout_mask(shares.shape, p, shares.dtype)
            kept = shares * mask
            place.copy_(_product(kept, value, ctx.factor).unflatten(0, heads))
            saved += [query, key, value, shares, mask, kept]
        ctx.save_for_backward(*saved)
        return outputs.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        gradient, saved = gradient.transpose(1, 2), iter(ctx.saved_tensors)
        gradients = [_by_token(gradient, shape) for shape in ctx.shapes]
        pieces = (_parts(tensor, ctx.segments) for tensor in (gradient, *gradients))
        for of_outputs, *places in zip(*pieces, strict=True):
            query, key, value, shares, mask, kept = (next(saved) for _ in range(6))
            heads, of_outputs = of_outputs.shape[:2], of_outputs.flatten(0, 1)
            of_value = _product(kept.transpose(1, 2), of_outputs, ctx.factor)
            of_shares = _product(of_outputs, value.transpose(1, 2), ctx.factor).mul_(mask)
            of_scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype)
            of_query = _product(of_scores, key, ctx.scale)
            of_key = _product(of_scores.transpose(1, 2), query, ctx.scale)
            for place, found in zip(places, (of_query, of_key, of_value), strict=True):
                place.copy_(found.unflatten(0, heads))
        return *gradients, None, None, None, None


def _by_token(like: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return room for a tensor of shape `(batch, heads, tokens, width)` that lies in memory as linear layers read and
    write it: a token's heads next to one another."""
    batch, heads, tokens, width = shape
    return like.new_empty(batch, tokens, heads, width).transpose(1, 2)


def _product(one: torch.Tensor, other: torch.Tensor, factor: float) -> torch.Tensor:
    """Return `factor` times the batched matrix product."""
    # With beta 0 what stood in the room before is not read.
    return one.new_empty(*one.shape[:2], other.shape[2]).baddbmm_(one, other, beta=0, alpha=factor)


def _bias(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    found = _added.get(mask)
    if found is None or found.dtype != dtype:
        found = _added[mask] = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
    return found


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
