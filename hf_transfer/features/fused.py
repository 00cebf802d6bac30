"""Recorded features of a fused model: each backbone's under its own key, so that a run of it alone finds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.utils.data import Dataset

from .dataset import FeatureSet
from .splits import record_splits


@dataclass(frozen=True)
class RecordedParts:
    """Recorded splits of a fused model.

    Args:
        splits (`dict[str, JoinedFeatures]`): by name.
        computed (`int`): rows that were computed now, summed over the parts.
        parts (`dict[str, Recorded]`): what was recorded of each part.
    """

    splits: dict
    computed: int
    parts: dict


class JoinedFeatures(Dataset):
    """The recordings of two parts for the same rows; their arrays come under the part's name, as `source_pooled`.

    Args:
        parts (`Mapping[str, FeatureSet]`): by name.
        replay (`FusedReplay`): joins vectors where one layer is fitted on them.
    """

    def __init__(self, parts: Mapping[str, FeatureSet], replay):
        self.parts, self.replay = dict(parts), replay
        self.labels = next(iter(self.parts.values())).labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens in each row, for grouping; `None` when only vectors are kept."""
        found = [part.lengths for part in self.parts.values() if part.lengths is not None]
        return sum(found) if found else None

    @property
    def widths(self) -> list[int] | None:
        """How many columns of the fused vectors each part has; `None` where they are mixed."""
        if self.replay.fusion.kind != "concat":
            return None
        return [part.arrays["pooled"].shape[1] for part in self.parts.values()]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """One fused vector per row, for the fit of a single layer."""
        pooled = {name: torch.from_numpy(np.asarray(part.arrays["pooled"])) for name, part in self.parts.items()}
        return {"pooled": self.replay.fused(pooled).numpy()}

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([row])

    def __getitems__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        batch = {"labels": self.labels[rows]}
        for name, part in self.parts.items():
            own = part.__getitems__(rows)
            batch |= {f"{name}_{key}": value for key, value in own.items() if key != "labels"}
        return batch


def record_parts(
    model,
    replay,
    backbone,
    processors: Mapping,
    encoded: Mapping,
    contents: Mapping,
    dtypes: Mapping,
    state,
    checked,
    probe=None,
) -> RecordedParts | None:
    """Record what the replay of each part reads, or find it recorded.

    Args:
        model (`TransferForFusedClassification`), replay (`FusedReplay`): of the whole.
        backbone (`FusedBackbone`), processors (`Mapping`): of its parts, by name.
        encoded (`Mapping[str, FusedRows]`): by split.
        contents, state, checked, probe: as for [`record_splits`].
        dtypes (`Mapping[str, torch.dtype]`): by part, the precision that it is run in.

    Returns:
        [`RecordedParts`], or `None` when a split is larger than the cache may be.
    """
    recorded = {}
    for name, part in backbone.parts.items():
        own = {split: rows.parts[name] for split, rows in encoded.items()}
        recorded[name] = record_splits(
            model.parts[name],
            replay.parts[name],
            part,
            processors[name],
            own,
            contents,
            dtypes[name],
            state,
            checked,
            None if probe is None else probe.of(name),
        )
        if recorded[name] is None:
            return None
    splits = {
        split: JoinedFeatures({name: one.splits[split] for name, one in recorded.items()}, replay) for split in encoded
    }
    return RecordedParts(splits, sum(one.computed for one in recorded.values()), recorded)
