"""BatchNorm statistics, taken anew on some rows.

The mean of two models' running statistics are not the statistics of the mean model's activations; with them an average
of CNNs may fall to chance (Izmailov et al. 2018, Averaging weights leads to wider optima, section 3.2). And those of
one domain are not another's (AdaBN: Li et al. 2016).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm

ROWS, BATCH = 2048, 64


def running_layers(model) -> list[str]:
    """Name the BatchNorm layers that keep running statistics."""
    return [
        name for name, layer in model.named_modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]


def disagreeing_layers(model, reference, mean) -> list[str]:
    """Name the BatchNorm layers whose running statistics the members do not share.

    Where all share them, BatchNorm stood still in training: its statistics are constants, as much a part of the
    function as a weight, and stay.

    Args:
        model (`nn.Module`): of the members' architecture.
        reference (`Mapping[str, torch.Tensor]`): a member's state.
        mean (`Mapping[str, torch.Tensor]`): the average; of equal statistics it is those, bit for bit.
    """
    return [
        name
        for name in running_layers(model)
        if any(
            not torch.equal(reference[f"{name}.{part}"], mean[f"{name}.{part}"])
            for part in ("running_mean", "running_var")
        )
    ]


@torch.no_grad()
def renew_statistics(model, layers: list[str], batches) -> None:
    """Take the running statistics of some layers anew: the mean over batches, each of which counts alike.

    Args:
        model (`nn.Module`): changed in place; everything else in it is in evaluation mode, before and after.
        layers (`list[str]`): names of BatchNorm modules.
        batches (`Iterable[dict[str, torch.Tensor]]`): model inputs, the same number of rows in each.
    """
    modules = [model.get_submodule(name) for name in layers]
    device = next(model.parameters()).device
    model.eval()
    with _counting(modules):
        for batch in batches:
            model(**{name: values.to(device) for name, values in batch.items() if name != "labels"})


@contextmanager
def _counting(modules) -> Iterator[None]:
    momenta = [module.momentum for module in modules]
    for module in modules:
        module.reset_running_stats()
        module.momentum = None  # torch's word for a cumulative average
        module.train()
    try:
        yield
    finally:
        for module, momentum in zip(modules, momenta, strict=True):
            module.momentum = momentum
            module.eval()


class TrainBatches:
    """A sample of rows in batches, as in evaluation: not augmented.

    Args:
        backbone, processor: encode the rows.
        train (`datasets.Dataset`): rows to draw from, with labels, which are not read.
    """

    def __init__(self, backbone, processor, train):
        from .inputs import collator, encode

        # A folder of classes lies in order of classes; the statistics of a batch are those of a mixture.
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:ROWS].tolist()
        # A short last batch would count as much as a full one.
        self.size = min(BATCH, len(order))
        self.rows = len(order) // self.size * self.size
        chosen = train.select(order[: self.rows]).remove_columns("label")
        self.encoded, self.collate = encode(backbone, processor, chosen), collator(backbone, processor)

    def __iter__(self):
        for start in range(0, self.rows, self.size):
            yield self.collate([self.encoded[row] for row in range(start, start + self.size)])
