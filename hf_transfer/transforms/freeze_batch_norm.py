"""BatchNorm that keeps the source's statistics."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Transform


@dataclass(frozen=True)
class FreezeBatchNorm(Transform):
    """The running statistics of every BatchNorm stand still, and it normalises by them in training too: for small
    batches, whose own statistics are noise, and for the same steps on any number of processes.

    Args:
        affine (`bool`): its scale and shift stand still too.
    """

    affine: bool = False

    def __post_init__(self):
        if not isinstance(self.affine, bool):
            raise UserError(f"strategy.transforms: FreezeBatchNorm.affine is {self.affine!r}; allowed: true or false")

    def check(self, model, depths: dict[str, int], strategy) -> None:
        from .batch_norm import check_any

        check_any("FreezeBatchNorm", model)

    def holds(self, model) -> set[str]:
        from .batch_norm import batch_norms

        norms = batch_norms(model) if self.affine else {}
        return {f"{name}.{part}" for name, module in norms.items() for part, _ in module.named_parameters()}

    def apply(self, model, depths: dict[str, int]) -> None:
        from .batch_norm import Standing, change

        for module in change(model, Standing):
            module.train(module.training)

    def restore(self, model) -> None:
        from .batch_norm import Standing, change_back

        change_back(model, Standing)
