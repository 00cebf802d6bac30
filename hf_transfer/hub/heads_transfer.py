"""Heads: modules that turn a backbone's features into one score per class.

Each takes `Features` and returns logits of shape `(batch, num_labels)`.
"""

from typing import NamedTuple

import torch
from torch import nn


class Features(NamedTuple):
    """What a backbone gives to a head.

    Args:
        tokens (`torch.Tensor` of shape `(batch, length, width)`, *optional*): one state per token or image position.
        mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for a real token, 0 for padding on the right.
        pooled (`torch.Tensor` of shape `(batch, width)`, *optional*): one vector per row.
    """

    tokens: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    pooled: torch.Tensor | None = None


class Pooling(nn.Module):
    """Token states to one vector per row; padding never counts.

    Args:
        mode (`str`): `"cls"` (the first token), `"mean"`, `"max"`, or `"attention"` (a learned weighted mean).
        width (`int`): size of a token state.
        normalize (`bool`): scale each pooled vector to length 1, as many sentence encoders were trained to be read.
    """

    def __init__(self, mode: str, width: int, normalize: bool = False):
        super().__init__()
        self.mode, self.normalize = mode, normalize
        if mode == "attention":
            self.score = nn.Linear(width, 1)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        pooled = self.pool(tokens, mask.unsqueeze(-1).to(torch.bool))
        return nn.functional.normalize(pooled, dim=-1) if self.normalize else pooled

    def pool(self, tokens: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        if self.mode == "cls":
            return tokens[:, 0]
        if self.mode == "mean":
            return (tokens * real).sum(1) / real.sum(1).clamp(min=1)
        if self.mode == "max":
            return tokens.masked_fill(~real, torch.finfo(tokens.dtype).min).max(1).values
        scores = self.score(tokens).float()  # under autocast it is bfloat16, whose range is another
        weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(1)
        return (weights * tokens).sum(1)


class LinearHead(nn.Module):
    """Logits = W x + b on the pooled features."""

    reads = "pooled"

    def __init__(self, width: int, num_labels: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, num_labels)

    def forward(self, features: Features) -> torch.Tensor:
        return self.out(self.dropout(features.pooled))


class MLPHead(nn.Module):
    """Dense layers with ReLU on the pooled features, then a linear layer."""

    reads = "pooled"

    def __init__(self, width: int, num_labels: int, hidden_sizes=(256,), dropout: float = 0.1):
        super().__init__()
        layers = []
        for size in hidden_sizes:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.hidden = nn.Sequential(*layers)
        self.out = nn.Linear(width, num_labels)

    def forward(self, features: Features) -> torch.Tensor:
        return self.out(self.hidden(features.pooled))


class LSTMHead(nn.Module):
    """An LSTM over the token states; the last state of each direction feeds a linear layer.

    The backward direction reads each row reversed by its own length (a gather), which equals a packed sequence, and
    unlike one can be exported to ONNX. So padding and batch mates never change a row's logits.
    """

    reads = "tokens"

    def __init__(
        self,
        width: int,
        num_labels: int,
        hidden_size: int = 256,
        num_layers: int = 2,
        dropout: float = 0.2,
        bidirectional: bool = True,
    ):
        super().__init__()
        ways = 2 if bidirectional else 1
        sizes = [width] + [hidden_size * ways] * (num_layers - 1)
        self.forward_layers = nn.ModuleList(nn.LSTM(size, hidden_size, batch_first=True) for size in sizes)
        self.backward_layers = nn.ModuleList(
            nn.LSTM(size, hidden_size, batch_first=True) for size in (sizes if bidirectional else [])
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden_size * ways, num_labels)

    def forward(self, features: Features) -> torch.Tensor:
        states, lengths = features.tokens, features.mask.sum(1).clamp(min=1).to(torch.long)
        positions = torch.arange(states.shape[1], device=states.device).unsqueeze(0)
        # Position t of a row of length n comes from n - 1 - t; padding stays where it is.
        mirrored = torch.where(positions < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - positions, positions)
        for number, layer in enumerate(self.forward_layers):
            if number:
                states = self.dropout(states)
            outputs = [layer(states)[0]]
            if len(self.backward_layers):
                backward = self.backward_layers[number](_take(states, mirrored))[0]
                outputs.append(_take(backward, mirrored))
            states = torch.cat(outputs, dim=-1)
        last = _take(outputs[0], (lengths - 1).unsqueeze(1)).squeeze(1)
        ends = [last] + [output[:, 0] for output in outputs[1:]]
        return self.out(self.dropout(torch.cat(ends, dim=-1)))


def _take(states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Gather `states[b, positions[b, t]]` for every row `b`; returns `(batch, positions, width)`."""
    return states.gather(1, positions.unsqueeze(-1).expand(-1, -1, states.shape[-1]))


HEADS = {"linear": LinearHead, "mlp": MLPHead, "lstm": LSTMHead}
