"""The random factors of dropout, seven times sooner than PyTorch draws them on a CPU.

`bernoulli_` takes 53 random bits for every element, one element after the other; of an encoder's training step on two
cores that was a fifth. Sixteen bits decide as well: one 64-bit draw serves four elements.
"""

import math

import torch

BITS = 16
DTYPES = (torch.float32, torch.bfloat16)


def drawable(p: float, tensor: torch.Tensor) -> bool:
    """Whether [`dropout_noise`] draws factors for `tensor`: on a CPU, in float32 or bfloat16, at a rate that does not
    round to 0 or 1."""
    return tensor.device.type == "cpu" and tensor.dtype in DTYPES and 0 < _dropped(p) < 2**BITS


def dropout_noise(shape: torch.Size, p: float, dtype: torch.dtype) -> torch.Tensor:
    """Draw the factors of dropout: 0 with probability `p`, else 1 / (1 - p) (Srivastava et al. 2014, inverted).

    `p` is rounded to the next multiple of 2^-16, so it is off by 2^-17 at most, and the factor is that of the rounded
    rate; in bfloat16 the factor has 8 bits, as PyTorch's own has. The draws come from PyTorch's CPU generator: a seed
    repeats them, a checkpoint keeps them, and gradient checkpointing draws the same again. They are not the ones that
    `torch.nn.functional.dropout` would make of the same seed.

    Args:
        shape (`torch.Size`): of the result.
        p (`float`): the rate; see [`drawable`].
        dtype (`torch.dtype`): float32 or bfloat16.

    Returns:
        `torch.Tensor`: contiguous, on the CPU.
    """
    return _drawn(shape, p, dtype, dropout_factor(p))


def dropout_mask(shape: torch.Size, p: float, dtype: torch.dtype) -> torch.Tensor:
    """Draw 0 with probability `p`, else 1: the factors of [`dropout_noise`] over [`dropout_factor`]."""
    return _drawn(shape, p, dtype, 1.0)


def dropout_factor(p: float) -> float:
    """Return 1 / (1 - p), of the rounded rate."""
    return 2**BITS / (2**BITS - _dropped(p))


def _dropped(p: float) -> int:
    return round(p * 2**BITS)


def _drawn(shape: torch.Size, p: float, dtype: torch.dtype, factor: float) -> torch.Tensor:
    count = math.prod(shape)
    draws = torch.empty(-(-count * BITS // 64), dtype=torch.int64).random_(-(2**63), None)
    # Each of the 2^16 values of a lane is as likely as the next; that many of them are below the threshold.
    kept = draws.view(torch.int16)[:count].ge_(_dropped(p) - 2 ** (BITS - 1))
    if dtype == torch.bfloat16:
        # As wide as a lane: 1 times the bits of the factor are the factor, in place.
        bits = torch.tensor(factor, dtype=dtype).view(torch.int16).item()
        return kept.mul_(bits).view(dtype).view(shape)
    drawn = kept.to(dtype)
    return (drawn if factor == 1 else drawn.mul_(factor)).view(shape)
