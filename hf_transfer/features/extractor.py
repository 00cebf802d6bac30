"""From a model with a frozen backbone to the recorded outputs that its head reads."""

import numpy as np
import torch

from .cache import remember_check, remembered_check
from .dataset import FeatureSet
from .extraction import Job, Ranks, find, record
from .fast_copy import fast_copy
from .key import backbone_identity, key_of

COSINE = 0.999  # bfloat16 features that are further than this from float32 ones are another input for the head
SAMPLE = 16  # rows that are looked at


class Extractor:
    """Runs one frozen backbone over any number of splits, each once for all runs.

    Args:
        model: the full model; its backbone is run.
        replay: [`replay.replay_of`] of it; says what is kept and computes it.
        dtype (`torch.dtype`): the precision of the backbone while it is run.
        checked (`bool`): take float32 after all where bfloat16 features of a few rows are not close to float32 ones.
        ranks (`Ranks`): the processes that share the work.
        about (`dict`): what `hf-transfer cache list` says of the recordings.
        probe (`Probe`, *optional*): chooses the size of a batch by the clock; by default it is the committed one.
    """

    def __init__(self, model, replay, dtype: torch.dtype, checked: bool, ranks: Ranks, about: dict, probe=None):
        self.model, self.replay, self.dtype, self.checked, self.ranks = model, replay, dtype, checked, ranks
        self.probe, self.budget = probe, None
        self.device = next(model.parameters()).device
        self.about = about
        self.backbone = backbone_identity(model, ("tokens",) if replay.pools_tokens else replay.keeps)
        self.cosine: float | None = None  # of bfloat16 to float32 features, where it was looked at
        self._counts: list[int] = []  # rows of each batch that went through the backbone, on this process
        self._twin = None

    @property
    def computed(self) -> int:
        """Rows that went through the backbone, on this process."""
        return sum(self._counts)

    def features(self, source, labels: np.ndarray, name: str) -> FeatureSet | None:
        """Record what the head reads of `source`, or find it recorded.

        Args:
            source (`Texts` or `Images`): the rows.
            labels (`np.ndarray`): one per row.
            name (`str`): the split, for people.

        Returns:
            `FeatureSet`, or `None` when it is larger than the cache may be, or than half of what the disk has left.
        """
        if self.checked and self.dtype == torch.bfloat16 and self.cosine is None:
            self.cosine = self._known_cosine(source)
            if self.cosine < COSINE:
                self.dtype = torch.float32
        dtype = str(self.dtype).removeprefix("torch.")
        if self.probe is not None:
            self._rebatch(source, dtype)
        # Batches are part of it: bfloat16 outputs move a little with what is computed beside them.
        identity = {**self.backbone, **source.identity, "dtype": dtype, "batches": key_of({"all": source.batches})}
        compute = lambda numbers: self._outputs(source, numbers)  # noqa: E731
        if self.replay.pools_tokens:
            tokens = find({**identity, "keeps": ["tokens"]})
            if tokens is not None:
                states = FeatureSet(tokens, labels)
                compute = lambda numbers: self._pooled(states, numbers)  # noqa: E731
            identity["pooling"] = [self.replay.pooling.mode, self.replay.pooling.normalize]
        keeps = list(self.replay.keeps)
        job = Job(
            name=f"features, {name}",
            identity={**identity, "keeps": keeps},
            about={
                **self.about,
                "keeps": keeps,
                "layers": getattr(self.replay, "layers", None),
                "part": name,
                "dtype": dtype,
            },
            batches=source.batches,
            compute=compute,
            rows=source.count,
            lengths=source.lengths,
            device=self.device.type,
        )
        folder = record(job, self.ranks)
        return None if folder is None else FeatureSet(folder, labels)

    def _rebatch(self, source, dtype: str) -> None:
        """Batch by what the probe found on the first split."""
        if self.budget is None:
            identity = {**self.backbone, **source.identity, "dtype": dtype, "keeps": list(self.replay.keeps)}
            self.budget = self.probe.take(
                source,
                identity,
                self.device.type,
                self.ranks.count,
                lambda numbers: self._run(source.inputs(numbers)),
            )
        source.batches = source.batched(self.budget)

    def _outputs(self, source, numbers: list[int]) -> dict[str, torch.Tensor]:
        outputs = self._run(source.inputs(numbers))
        self._counts.append(len(numbers))
        return outputs

    @torch.inference_mode()
    def _run(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        if self._twin is None or self._twin.dtype != self.dtype:
            few = {name: value[:2] for name, value in inputs.items()}
            self._twin = fast_copy(self.model, self.dtype, few, self.replay.record)
        outputs = self.replay.record(
            self._twin,
            {name: value.to(self.dtype) if value.is_floating_point() else value for name, value in inputs.items()},
        )
        kept = {name: outputs[name] for name in self.replay.keeps}
        if "pooled" in kept:  # one per row: nothing to gain from storing it in less than float32
            kept["pooled"] = kept["pooled"].float()
        return kept

    @torch.inference_mode()
    def _pooled(self, states: FeatureSet, numbers: list[int]) -> dict[str, torch.Tensor]:
        batch = states.__getitems__(numbers)
        return {"pooled": self.replay.pool(batch["tokens"], batch["mask"])}

    def _known_cosine(self, source) -> float:
        """Look at a few rows, or remember what an earlier run saw in them."""
        rows = sorted({number * source.count // SAMPLE for number in range(SAMPLE)} & set(range(source.count)))
        key = key_of({**self.backbone, **source.identity, "cosine of": rows, "keeps": list(self.replay.keeps)})
        cosine = remembered_check(key)
        if cosine is None:
            cosine = self._cosine(source.inputs(rows))
            if self.ranks.leads:
                remember_check(key, cosine)
        return cosine

    def _cosine(self, inputs: dict[str, torch.Tensor]) -> float:
        """Smallest cosine of bfloat16 to float32 features over these rows, or their tokens where those are kept."""
        wanted, found = self.dtype, {}
        for self.dtype in (torch.float32, wanted):
            outputs = self._run(inputs)
            if "tokens" in outputs and "attention_mask" in inputs:
                outputs["tokens"] = outputs["tokens"][inputs["attention_mask"].bool().to(self.device)]
            found[self.dtype] = outputs
        pairs = [(value.float(), found[wanted][name].float()) for name, value in found[torch.float32].items()]
        return min(torch.cosine_similarity(one, other, dim=-1).min().item() for one, other in pairs)
