"""The recorded features of every split of a run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ..data import labels_of
from ..inputs import collator
from .dataset import FeatureSet
from .extraction import Ranks
from .extractor import Extractor
from .sources import Images, Texts


@dataclass(frozen=True)
class Recorded:
    """Recorded splits.

    Args:
        splits (`dict[str, FeatureSet]`): by name.
        computed (`int`): rows that were computed now; the others were there.
        dtype (`str`): the precision they were computed in.
        cosine (`float`, *optional*): the smallest one found between bfloat16 and float32 features, where it was looked
            at.
    """

    splits: dict[str, FeatureSet]
    computed: int
    dtype: str
    cosine: float | None


def record_splits(
    model,
    replay,
    backbone,
    processor,
    encoded: Mapping,
    contents: Mapping[str, str],
    dtype: torch.dtype,
    state,
    checked: bool = False,
    probe=None,
) -> Recorded | None:
    """Record what `replay` reads of every split, or find it recorded.

    Args:
        encoded (`Mapping[str, datasets.Dataset]`): by split, what [`inputs.encode`] returned, with labels.
        contents (`Mapping[str, str]`): by split, the hash of its images.
        dtype (`torch.dtype`): the precision of the backbone while it is run.
        checked (`bool`): take float32 after all where bfloat16 moves the features of a few rows too far.
        state (`accelerate.PartialState`): this process's place among those that share the work.
        probe (`Probe`, *optional*): chooses the size of a batch by the clock.

    Returns:
        [`Recorded`], or `None` when a split is larger than the cache may be.
    """
    ranks = Ranks(state)
    about = {"checkpoint": backbone.checkpoint, "revision": backbone.revision}
    extractor = Extractor(model, replay, dtype, checked, ranks, about, probe)
    result = {}
    for name, rows in encoded.items():
        device = extractor.device.type
        if backbone.modality == "image":
            source = Images(backbone, processor, rows, contents[name], device, ranks, name)
        else:
            source = Texts(rows, collator(backbone, processor), device)
        result[name] = extractor.features(source, _labels(rows), name)
        if result[name] is None:
            return None
    return Recorded(result, extractor.computed, str(extractor.dtype).removeprefix("torch."), extractor.cosine)


def _labels(rows) -> np.ndarray:
    labels = labels_of(rows)
    return labels.astype(np.float32) if labels.dtype.kind == "f" else labels.astype(np.int64)
