"""Only biases move, and the head."""

from dataclasses import dataclass

from ..errors import UserError
from .base import BackboneTraining


@dataclass(frozen=True)
class BitFit(BackboneTraining):
    """BitFit (Ben Zaken et al. 2022): the backbone's bias terms and the head are trained, all other weights stand
    still. In a network with BatchNorm its shifts are the biases, and its running statistics move too."""

    def trains(self, name: str, depth: int, top: int) -> bool:
        return depth == top or _is_bias(name)

    def check(self, depths: dict[str, int]) -> None:
        top = max(depths.values())
        if not any(_is_bias(name) and depth < top for name, depth in depths.items()):
            raise UserError("strategy BitFit trains bias terms, and this backbone has none; use PartialFineTune")


def _is_bias(name: str) -> bool:
    return name.rpartition(".")[2] == "bias"
