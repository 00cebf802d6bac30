"""What is added on top of a backbone: specs only, so that naming a head needs no torch.

`reads` says what a head takes from the backbone, and so what is computed once when the backbone is frozen: "pooled"
(one vector per row), "tokens" (one vector per token) or "native" (whatever the stock class of the checkpoint reads).
The modules themselves live in `hf_transfer/hub/heads_transfer.py`, because they travel to the Hub with a model.
"""

from dataclasses import dataclass
from typing import ClassVar

from .errors import UserError

FITS = ("auto", "lbfgs", "sgd")


def _check_dropout(head, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise UserError(f"{type(head).__name__}.dropout must be in [0, 1), got {value!r}")


def _check_positive(head, field: str, value) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{type(head).__name__}.{field} must be an integer of at least 1, got {value!r}")


@dataclass(frozen=True)
class NativeHead:
    """The classification head of the checkpoint's own stock class: `XForSequenceClassification` for text, the
    replaced last layer of a timm net for images. Reloads with transformers (and timm) alone."""

    reads: ClassVar[str] = "native"


@dataclass(frozen=True)
class LinearHead:
    """One linear layer on the pooled features; on a frozen backbone this is the linear probe.

    Args:
        dropout (`float`): probability of zeroing a pooled feature while training.
        fit (`str`): `"lbfgs"` solves for the layer on recorded features, `"sgd"` trains it by gradient descent;
            `"auto"` is lbfgs on a frozen backbone, unless dropout or a training field asks for gradient descent.
        l2 (`float`, *optional*): strength of the L2 penalty of lbfgs, on the weights of scaled features; by default
            the one with the lowest validation loss.
    """

    dropout: float = 0.0
    fit: str = "auto"
    l2: float | None = None
    reads: ClassVar[str] = "pooled"
    training_only: ClassVar[tuple[str, ...]] = ("fit", "l2")  # how it is trained; the saved model need not know

    def __post_init__(self):
        _check_dropout(self, self.dropout)
        if self.fit not in FITS:
            raise UserError(f"LinearHead.fit is {self.fit!r}; allowed: {', '.join(FITS)}")
        if self.fit == "lbfgs" and self.dropout > 0:
            raise UserError(
                f"LinearHead.fit is 'lbfgs', but LinearHead.dropout is {self.dropout}, which only gradient descent "
                "can apply; set dropout to 0, or fit to sgd"
            )
        if self.l2 is None:
            return
        if isinstance(self.l2, bool) or not isinstance(self.l2, int | float) or not 0 <= self.l2 < float("inf"):
            raise UserError(f"LinearHead.l2 is {self.l2!r}; allowed: a number of at least 0, or none")
        if self.fit == "sgd":
            raise UserError(
                f"LinearHead.l2 is {self.l2}, the penalty of the lbfgs fit, but LinearHead.fit is 'sgd'; leave l2 out "
                "(training.weight_decay is for sgd), or set fit to lbfgs"
            )


@dataclass(frozen=True)
class NoHead:
    """What each part of a fused model ends in: its pooled features as they are. For `assembly` alone."""

    reads: ClassVar[str] = "pooled"


@dataclass(frozen=True)
class MLPHead:
    """Dense layers with ReLU on the pooled features, then a linear layer.

    Args:
        hidden_sizes (`tuple[int, ...]`): width of each hidden layer, from the backbone outwards.
        dropout (`float`): probability of zeroing a hidden unit while training.
    """

    hidden_sizes: tuple[int, ...] = (256,)
    dropout: float = 0.1
    reads: ClassVar[str] = "pooled"

    def __post_init__(self):
        object.__setattr__(self, "hidden_sizes", tuple(self.hidden_sizes))
        if not self.hidden_sizes:
            raise UserError("MLPHead.hidden_sizes needs at least one width; for none use LinearHead")
        for size in self.hidden_sizes:
            _check_positive(self, "hidden_sizes", size)
        _check_dropout(self, self.dropout)


@dataclass(frozen=True)
class RecurrentHead:
    """What the recurrent heads have in common: a net over the token states, the final states of both directions into a
    linear layer.

    The backward direction starts at each row's own last token, so padding and batch mates change nothing.

    Args:
        hidden_size (`int`): units per direction.
        num_layers (`int`): stacked recurrent layers.
        dropout (`float`): between the layers and before the linear layer.
        bidirectional (`bool`): read the tokens in both directions.
    """

    hidden_size: int = 256
    num_layers: int = 2
    dropout: float = 0.2
    bidirectional: bool = True
    reads: ClassVar[str] = "tokens"

    def __post_init__(self):
        _check_positive(self, "hidden_size", self.hidden_size)
        _check_positive(self, "num_layers", self.num_layers)
        _check_dropout(self, self.dropout)


@dataclass(frozen=True)
class LSTMHead(RecurrentHead):
    """An LSTM (Hochreiter & Schmidhuber 1997) over the token states; for the rest see [`RecurrentHead`]."""


@dataclass(frozen=True)
class GRUHead(RecurrentHead):
    """Gated recurrent units (Cho et al. 2014) over the token states: as [`LSTMHead`], with a quarter fewer parameters
    in the recurrent layers."""


@dataclass(frozen=True)
class AttentionHead:
    """Multi-head attention pooling, then a linear layer: each head has a learned query that weighs the token states,
    in its own projection of them (Vaswani et al. 2017, section 3.2.2; Lee et al. 2019, section 3.2).

    `LinearHead` with `backbone.pooling="attention"` is the small sister: one score per token, from one linear layer,
    and the weighted mean of the states as they are.

    Args:
        num_heads (`int`): how many; the width of a token state must be a multiple of it.
        dropout (`float`): on the pooled vector, before the linear layer.
    """

    num_heads: int = 4
    dropout: float = 0.1
    reads: ClassVar[str] = "tokens"

    def __post_init__(self):
        _check_positive(self, "num_heads", self.num_heads)
        _check_dropout(self, self.dropout)
