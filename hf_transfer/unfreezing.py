"""Parameters that join the training later."""

from collections.abc import Mapping

from transformers import TrainerCallback


class Unfreezing(TrainerCallback):
    """Lets each depth move from its epoch on.

    Everything requires a gradient while DDP wraps the model: what was frozen then and thawed later would drift apart
    between ranks, with no error. So the freezing itself happens in `on_train_begin`, from the epoch that training
    starts or goes on in.

    Args:
        from_epoch (`Mapping[str, int]`): by parameter name, the first epoch, counted from 0, in which it moves;
            parameters that never move are not named.
        changed (`Callable[[], None]`): called after each change, to find anew which modules are frozen.
    """

    def __init__(self, from_epoch: Mapping[str, int], changed):
        self.from_epoch, self.changed = dict(from_epoch), changed

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self._apply(model, state)

    def on_epoch_begin(self, args, state, control, model=None, **kwargs):
        self._apply(model, state)

    def _apply(self, model, state) -> None:
        # A whole epoch may be told as 0.9999999 when its steps were counted up.
        epoch = int((state.epoch or 0) + 1e-6)
        for name, parameter in model.named_parameters():
            if name in self.from_epoch:
                parameter.requires_grad_(epoch >= self.from_epoch[name])
                if not parameter.requires_grad:
                    parameter.grad = None  # or a last gradient of an epoch before would still be applied
        self.changed()
