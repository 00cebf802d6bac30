"""The top blocks forget what they learnt."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Transform


@dataclass(frozen=True)
class ReinitTop(Transform):
    """Fresh weights for the top blocks, drawn as the architecture itself draws them (Zhang et al. 2021, "Revisiting
    Few-sample BERT Fine-tuning", section 5): they are the most specialised to the task of pretraining. The pooler of a
    text encoder and the last normalisation go with them. The training's seed decides the draw.

    Args:
        k (`int`): how many blocks, counted from the head; one of a timm net is one of its groups of blocks.
    """

    k: int = 1

    def __post_init__(self):
        if not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 1:
            raise UserError(f"strategy.transforms: ReinitTop.k is {self.k!r}; it must be at least 1")

    def check(self, model, depths: dict[str, int], strategy) -> None:
        names, top = self._names(depths), max(depths.values())
        still = next((name for name in names if not strategy.trains(name, depths[name], top)), None)
        if still is not None:
            raise UserError(
                f"strategy.transforms: ReinitTop(k={self.k}) draws {still!r} anew, and strategy "
                f"{type(strategy).__name__} would leave it so; use FullFineTune, or a smaller k"
            )

    def apply(self, model, depths: dict[str, int]) -> None:
        from .fresh import fresh_state

        fresh, names = fresh_state(model), self._names(depths)
        owners = {name.rpartition(".")[0] for name in names}
        # Running statistics belong to the weights beside them.
        names += [name for name, _ in model.named_buffers() if name.rpartition(".")[0] in owners and name in fresh]
        state = model.state_dict()
        for name in names:
            state[name].copy_(fresh[name])

    def _names(self, depths: dict[str, int]) -> list[str]:
        """The parameters of the top blocks."""
        top = max(depths.values())
        if self.k > top - 1:
            raise UserError(f"strategy.transforms: ReinitTop.k is {self.k}; this backbone has {top - 1} blocks")
        return [name for name, depth in depths.items() if top - self.k <= depth < top]
