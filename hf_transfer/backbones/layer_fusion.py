"""Several hidden layers of one backbone in the place of the last one."""

from dataclasses import dataclass
from typing import ClassVar

from ..errors import UserError

METHODS = ("scalar_mix", "mean")
NATIVE_READS_ONE = (
    "a NativeHead reads the last layer alone, and backbone.fusion mixes several; take another head, such as "
    "LinearHead, or leave fusion out"
)


@dataclass(frozen=True)
class LayerFusion:
    """Layer fusion: pooling and head read a mix of hidden layers, not the last one alone.

    Of a text encoder the layers are its hidden states: 0 is what goes into the first block (the embeddings), 1 to n
    what each block gives. Of a ViT they are its blocks, counted from 0, each through the net's own final norm. Of a
    convolutional net they are its stages, counted from 0, whose maps differ in width and size: each is pooled over its
    positions and brought to the width of the last one by a linear layer, learnt with the head. What lies above the
    highest layer that is read is left out.

    Args:
        method (`str`): `"scalar_mix"` is gamma * sum_j softmax(s)_j h_j, s and gamma learnt with the head (Peters et
            al. 2018, equation 1), starting from the mean; `"mean"` is the mean. Where pooled vectors are scaled to
            length 1, gamma changes nothing.
        layers (`tuple[int, ...]`, *optional*): which ones, two or more; by default all.
    """

    method: str = "scalar_mix"
    layers: tuple[int, ...] | None = None
    fuses: ClassVar[str] = "layers"

    def __post_init__(self):
        if self.method not in METHODS:
            raise UserError(f"backbone.fusion.method is {self.method!r}; allowed: {', '.join(METHODS)}")
        if self.layers is None:
            return
        layers = tuple(self.layers)
        if len(layers) < 2 or layers != tuple(sorted(set(layers))) or layers[0] < 0:
            raise UserError(
                f"backbone.fusion.layers is {layers}; allowed: two layers or more, counted from 0, in rising order "
                "(for a single one set backbone.layer)"
            )
        object.__setattr__(self, "layers", layers)

    def resolve(self, checkpoint: str, count: int, what: str) -> tuple[int, ...]:
        """Return the layers of a backbone that has so many.

        Args:
            checkpoint (`str`), what (`str`): for the message: whose, and what they are called.

        Raises:
            `UserError`: a layer that the backbone does not have.
        """
        if self.layers is None:
            return tuple(range(count))
        if self.layers[-1] >= count:
            raise UserError(
                f"backbone.fusion.layers names {self.layers[-1]}; {checkpoint!r} has {what} 0 to {count - 1}"
            )
        return self.layers


def check_fusion(backbone) -> None:
    """Refuse a `fusion` that is none, or that stands against another field of its backbone.

    Raises:
        `UserError`: both fields are named.
    """
    fusion = backbone.fusion
    if fusion is None:
        return
    if not isinstance(fusion, LayerFusion):
        raise UserError(f"backbone.fusion is {fusion!r}; allowed: LayerFusion(...), or none")
    if backbone.layer is not None:
        raise UserError("backbone.layer reads one layer, backbone.fusion several; leave one out (see fusion.layers)")
    if backbone.pooling == "pooler":
        raise UserError(
            "backbone.pooling is 'pooler', a layer that reads the last hidden state; with backbone.fusion use mean, "
            "cls, max or attention"
        )
    if getattr(backbone, "embeddings_only", False):
        raise UserError("backbone.embeddings_only leaves no layers for backbone.fusion; leave one of them out")
