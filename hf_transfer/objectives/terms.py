"""What a term beside the task's loss is built from and what it sees at each step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

SOURCE, TARGET = 0, 1  # domains


class Blocks(NamedTuple):
    """Where in a backbone feature maps can be read.

    Args:
        names (`tuple[str, ...]`): of modules, the lowest first.
        stages (`bool`): they are the stages of a convolutional net, each at a scale of its own; else equal blocks.
        channels_last (`bool`): maps are of shape `(batch, H, W, C)`.
    """

    names: tuple[str, ...] = ()
    stages: bool = False
    channels_last: bool = False


class Source(NamedTuple):
    """A checkpoint's own pretrained classifier, and what it says of the rows in training.

    Args:
        head (`SourceHead`): a module that turns what the backbone gives into source logits.
        logits (`torch.Tensor` of shape `(rows, source classes)`): of the untouched checkpoint.
        labels (`torch.Tensor` of shape `(rows,)`): target class ids.
    """

    head: nn.Module
    logits: torch.Tensor
    labels: torch.Tensor


class Context(NamedTuple):
    """What a term is built from.

    Args:
        model (`nn.Module`): with the weights that training starts from; no term may keep it, but a copy.
        depths (`Mapping[str, int]`): parameter name to 0 (embeddings), 1..n (blocks) or n + 1 (head).
        num_labels (`int`): outputs of the head.
        feature_width (`int`): of what the last layer reads.
        frozen (`bool`): whether the backbone stands still.
        problem_type (`str`): see [`SupervisedLoss`].
        head_learnt (`bool`): whether the head knows these very labels from a training before.
        precision (`torch.dtype`): of the training.
        blocks (`Blocks`): of the backbone.
        teacher (`Callable[[str], nn.Module]`, *optional*): loads a checkpoint whose logits are of these very labels,
            in their order, and which reads the same inputs.
        source (`Callable[[], Source]`, *optional*): loads the checkpoint's own pretrained classifier.
    """

    model: nn.Module
    depths: Mapping[str, int]
    num_labels: int
    frozen: bool = False
    problem_type: str = "single_label_classification"
    head_learnt: bool = True
    precision: torch.dtype = torch.float32
    blocks: Blocks = Blocks()
    teacher: Callable[[str], nn.Module] | None = None
    source: Callable[[], Source] | None = None
    feature_width: int = 0


@dataclass
class Seen:
    """One micro-batch as a term sees it.

    Args:
        model (`nn.Module`): the model in training.
        inputs (`Mapping[str, torch.Tensor]`): what went in.
        logits (`torch.Tensor` of shape `(batch, num_labels)`).
        labels (`torch.Tensor`): as [`SupervisedLoss`] reads them.
        weights (`torch.Tensor` of shape `(batch,)`): of the rows.
        features (`torch.Tensor` of shape `(batch, width)`): what the last layer read.
        progress (`float`): share of the training that is done, 0 to 1.
        outputs (`Mapping[str, Any]`): of the modules that a term watches, by their names.
        domains (`torch.Tensor` of shape `(batch,)`, *optional*): 0 for a source row, 1 for a target row, where a
            training has both.
        shares (`torch.Tensor` of shape `(batch,)`, *optional*): what each row adds to the divisor of the step; by
            default its weight. Of two domains a source row's weight before it was weighed by its likeness to the
            target, whose mean is 1 over all rows but not over a batch; and 0 for a target row, so that
            L_S + lambda L_T + Omega is what it says.
    """

    model: nn.Module
    inputs: Mapping[str, Any]
    logits: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    features: torch.Tensor | None
    progress: float
    outputs: Mapping[str, Any] = field(default_factory=dict)
    domains: torch.Tensor | None = None
    shares: torch.Tensor | None = None

    @property
    def counted(self) -> torch.Tensor:
        """What this micro-batch adds to the number that a step is divided by."""
        return (self.weights if self.shares is None else self.shares).sum()


class Term(nn.Module):
    """A term beside the task's loss: `forward(seen)` returns a *sum over the rows* of the micro-batch.

    A step divides it by the summed row weights of all its micro-batches and ranks. So what is no property of rows,
    such as a distance between weights, is multiplied by what the rows at hand count (`seen.counted`), and then counts
    exactly once per step, however the rows are grouped.

    Parameters that a term has are trained with the model and kept in checkpoints; see [`Joint`].

    Attributes:
        name (`str`): in the log.
        reads_features (`bool`): whether it reads `seen.features`.
        watches (`tuple[str, ...]`): modules of the model whose outputs it reads in `seen.outputs`.
    """

    name = ""
    reads_features = False
    watches: tuple[str, ...] = ()

    def forward(self, seen: Seen) -> torch.Tensor:
        raise NotImplementedError
