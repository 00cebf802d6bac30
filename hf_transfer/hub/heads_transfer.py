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

    @property
    def learned(self) -> bool:
        return self.mode == "attention"

    @property
    def linear(self) -> bool:
        """Whether the vector of a weighted sum of states is the weighted sum of the vectors, before it is scaled."""
        return self.mode in ("cls", "mean")

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.scaled(self.pool(tokens, mask))

    def scaled(self, pooled: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(pooled, dim=-1) if self.normalize else pooled

    def pool(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool `tokens` of shape `(batch, length, ..., width)` to `(batch, ..., width)`, not scaled yet."""
        real = mask.to(torch.bool)
        while real.ndim < tokens.ndim:  # by unsqueeze: a view of computed sizes would fix the batch in an export
            real = real.unsqueeze(-1)
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


class NoHead(nn.Module):
    """The pooled features themselves: what a part of a fused model gives."""

    reads = "pooled"

    def __init__(self, width: int, num_labels: int):
        super().__init__()

    def forward(self, features: Features) -> torch.Tensor:
        return features.pooled


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


class _RecurrentHead(nn.Module):
    """A recurrent net over the token states; the last state of each direction feeds a linear layer.

    The backward direction reads each row reversed by its own length (a gather), which equals a packed sequence, and
    unlike one can be exported to ONNX. So padding and batch mates never change a row's logits.
    """

    reads = "tokens"
    cell: type[nn.RNNBase]

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
        self.forward_layers = nn.ModuleList(self.cell(size, hidden_size, batch_first=True) for size in sizes)
        self.backward_layers = nn.ModuleList(
            self.cell(size, hidden_size, batch_first=True) for size in (sizes if bidirectional else [])
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden_size * ways, num_labels)

    def forward(self, features: Features) -> torch.Tensor:
        states, lengths = features.tokens, features.mask.sum(1).clamp(min=1).to(torch.long)
        if _needs_float32(states):
            with torch.autocast("cpu", enabled=False):
                return self._logits(states.float(), lengths)
        return self._logits(states, lengths)

    def _logits(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
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


class LSTMHead(_RecurrentHead):
    """Long short-term memory (Hochreiter & Schmidhuber 1997)."""

    cell = nn.LSTM


class GRUHead(_RecurrentHead):
    """Gated recurrent units (Cho et al. 2014): a quarter fewer parameters than the LSTM's."""

    cell = nn.GRU


class AttentionHead(nn.Module):
    """Multi-head attention pooling: a learned query reads the token states, then a linear layer.

    One query for each head: every head weighs the tokens anew, in its own part of projected states (Vaswani et al.
    2017, section 3.2.2, with a learned query as in Set Transformer's pooling, Lee et al. 2019, section 3.2). Padding
    never counts.
    """

    reads = "tokens"

    def __init__(self, width: int, num_labels: int, num_heads: int = 4, dropout: float = 0.1):
        if width % num_heads:
            fitting = [number for number in range(1, 17) if width % number == 0]
            raise ValueError(f"{num_heads} does not divide the width {width}; allowed: {fitting}")
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, num_labels)

    def forward(self, features: Features) -> torch.Tensor:
        tokens = features.tokens
        # A row without a single token would be a softmax over nothing: its first position always counts.
        first = torch.arange(tokens.shape[1], device=tokens.device) == 0
        hidden = (features.mask == 0) & ~first
        query = self.query.expand(tokens.shape[0], -1, -1)
        pooled, _ = self.attention(query, tokens, tokens, key_padding_mask=hidden, need_weights=False)
        return self.out(self.dropout(pooled.squeeze(1)))


def _needs_float32(states: torch.Tensor) -> bool:
    """Whether autocast would ask for what fails: an LSTM in bfloat16 on a CPU without instructions that oneDNN can do
    it by ("could not create a primitive descriptor")."""
    on_cpu = states.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return on_cpu and not torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _take(states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Gather `states[b, positions[b, t]]` for every row `b`; returns `(batch, positions, width)`."""
    return states.gather(1, positions.unsqueeze(-1).expand(-1, -1, states.shape[-1]))


HEADS = {
    "linear": LinearHead,
    "mlp": MLPHead,
    "lstm": LSTMHead,
    "gru": GRUHead,
    "attention": AttentionHead,
    "none": NoHead,
}
