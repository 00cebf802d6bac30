"""BatchNorm that cannot lean on the batch alone, nor on the source's statistics alone."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Transform


@dataclass(frozen=True)
class StochNorm(Transform):
    """Stochastic normalisation (Kou et al. 2020, equation 5): in training every BatchNorm normalises each channel by
    the batch's statistics with probability `p`, else by its running ones; both are drawn anew in every step. The
    running statistics move as ever. `p=1` is BatchNorm in training, `p=0` is BatchNorm in evaluation. The saved model
    has plain BatchNorm.

    Args:
        p (`float`): probability of the batch's statistics.
    """

    p: float = 0.5

    def __post_init__(self):
        if isinstance(self.p, bool) or not isinstance(self.p, int | float) or not 0 <= self.p <= 1:
            raise UserError(f"strategy.transforms: StochNorm.p is {self.p!r}; allowed: 0 to 1")

    def check(self, model, depths: dict[str, int], strategy) -> None:
        from .batch_norm import check_trained

        check_trained("StochNorm", model, depths, strategy)

    def apply(self, model, depths: dict[str, int]) -> None:
        from .batch_norm import Stochastic, change

        for module in change(model, Stochastic):
            module.p = self.p

    def restore(self, model) -> None:
        from .batch_norm import Stochastic, change_back

        change_back(model, Stochastic)
