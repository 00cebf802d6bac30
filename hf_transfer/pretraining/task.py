"""What is learnt in pretraining, apart from how: the same shape for texts and images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Task:
    """A pretraining task, ready to be trained.

    Args:
        model (`nn.Module`): the backbone, with what is saved of its head; its output `logits` go to `objective`.
        objective (`StepLoss`): sums over what `labels` counts.
        train, validation (`torch.utils.data.Dataset`): number `epoch * rows + row` is `row` as that epoch sees it; in
            validation every epoch sees the same.
        collate (`Callable`): rows to a batch.
        figures (`Callable[[float], dict]`): the mean loss on validation to what is told of it, `loss` among it.
        headline (`str`): the first of these.
        shown (`tuple[str, ...]`): those that a line per epoch shows.
        save (`Callable[[Path, dict], None]`): writes the model and `recipe.json`, what the next recipe starts from.
        reload (`Callable[[Path], nn.Module]`): loads it as a stranger would.
        kind (`tuple[str, int]`): of the model, as the table of precisions names it.
        lines (`tuple[str, ...]`): for the screen, and for the card.
        let_go (`Callable[[], None]`): takes off the model what was hooked into it.
        about (`dict`): further facts for results.json.
    """

    model: torch.nn.Module
    objective: Any
    train: Any
    validation: Any
    collate: Callable
    figures: Callable[[float], dict]
    headline: str
    shown: tuple[str, ...]
    save: Callable
    reload: Callable
    kind: tuple[str, int]
    lines: tuple[str, ...] = ()
    let_go: Callable = lambda: None
    about: dict = field(default_factory=dict)
