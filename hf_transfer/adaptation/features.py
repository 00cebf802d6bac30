"""Recorded features of both domains: what a head on a frozen backbone learns from, and what weighs source rows."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ..batch_norm import TrainBatches, renew_statistics, running_layers
from ..errors import UserError
from ..features.splits import record_splits
from ..inputs import encode
from ..replay import replay_of
from .moving import recolouring, scaling

MOVES = {"scale": scaling, "coral": recolouring}
OF_SOURCE = ("train", "validation")
TOO_LARGE = (
    "the features are larger than the cache may be or than half of the free disk, and this recipe needs them "
    "recorded; raise HF_TRANSFER_CACHE_GB, or leave out data.weights and data.align and use FullFineTune"
)


@dataclass
class Recording:
    """Features of the parts of both domains.

    Args:
        parts (`dict[str, FeatureSet]`): by name; empty where nothing was recorded.
        computed (`int`): rows whose features were computed now.
        take_target_statistics (`Callable`): gives the model the target's BatchNorm statistics, where asked for.
    """

    parts: dict = field(default_factory=dict)
    computed: int = 0
    take_target_statistics: Callable = lambda: None

    def moved(self, align: str) -> dict:
        """Return the parts with the source's features moved onto the target's."""
        if align == "none":
            return dict(self.parts)
        move = MOVES[align](self.parts["train"].vectors(), self.parts["target"].vectors())
        found = dict(self.parts)
        for name in OF_SOURCE:
            found[name] = found[name].with_vectors(move(found[name].vectors()))
        return found


def record_domains(plan, model, replay, encoded: dict, ground, record: Callable) -> Recording:
    """Record what the stage needs of every part.

    Args:
        replay: of a frozen backbone; `None` where the backbone trains. Then features are only recorded, with the
            weights that the training starts from, where source rows are weighed by them.
        record (`Callable`): [`training.record_features`] without its plan.

    Raises:
        `UserError`: they are larger than the cache may be.
    """
    data, backbone = plan.recipe.data, plan.recipe.backbone
    statistics = _Statistics(model, backbone, ground) if data.adapt_batch_norm else None
    after = statistics.of_target if statistics else lambda: None
    if replay is None and data.weights is None:
        return Recording(take_target_statistics=after)
    if replay is None:
        plain = {
            name: encode(backbone, ground.processor, getattr(ground.splits, name))
            for name in ("train", "validation", "target")
        }
        with ground.order.clock("features"):
            recorded = record_splits(
                model, replay_of(model), backbone, ground.processor, plain, ground.splits.contents, torch.float32,
                ground.order.state,
            )  # fmt: skip
        return Recording(_checked(recorded).splits, recorded.computed, after)
    if statistics is None:
        recorded = _checked(record(model, replay, encoded, ground))
        return Recording(recorded.splits, recorded.computed)
    found = Recording(take_target_statistics=after)
    for of_domain, names in ((statistics.of_source, OF_SOURCE), (statistics.of_target, ("target", "held_out"))):
        of_domain()
        parts = {name: rows for name, rows in encoded.items() if name in names}
        recorded = _checked(record(model, replay, parts, ground))
        found.parts |= recorded.splits
        found.computed += recorded.computed
    return found


def _checked(recorded):
    if recorded is None:
        raise UserError(TOO_LARGE)
    return recorded


class _Statistics:
    """BatchNorm statistics per domain (AdaBN: Li et al. 2016)."""

    def __init__(self, model, backbone, ground):
        self.model, self.layers = model, running_layers(model)
        if not self.layers:
            raise UserError(
                "data.adapt_batch_norm: this net has no BatchNorm layer that keeps statistics; leave it out"
            )
        self.batches = lambda rows: TrainBatches(backbone, ground.processor, rows)
        self.splits = ground.splits

    def of_source(self) -> None:
        renew_statistics(self.model, self.layers, self.batches(self.splits.train))

    def of_target(self) -> None:
        renew_statistics(self.model, self.layers, self.batches(self.splits.target))
