"""What the user sees while a model trains, and what Ctrl-C does."""

import signal
import sys
import time

import torch
from transformers import TrainerCallback

from .bars import bar
from .history import loss_parts


class Progress(TrainerCallback):
    """A bar with rate and time left, and one line per epoch with the training loss, the parts of a sum, and the
    validation metrics."""

    def __init__(self, shown: tuple[str, ...]):
        self.shown = shown
        self.bar = None
        self.loss = None
        self.parts = {}

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.bar = bar(state.max_steps, "train", "step")
            self.bar.update(state.global_step)

    def on_step_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in (logs or {}):
            self.loss, self.parts = logs["loss"], loss_parts(logs)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if self.bar is None:
            return
        values = [f"{name} {metrics['eval_' + name]:.4f}" for name in self.shown if "eval_" + name in metrics]
        parts = ", ".join(f"{name} {value:.4g}" for name, value in self.parts.items())
        loss = "" if self.loss is None else f"  train loss {float(self.loss):.4f}{f' ({parts})' if parts else ''}"
        epoch = f"epoch {state.epoch:.4g}/{state.num_train_epochs:.4g}"
        self.bar.write(f"{epoch}{loss}  validation: {', '.join(values)}", file=sys.stdout)
        sys.stdout.flush()

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.close()


class StopOnSignal(TrainerCallback):
    """Ctrl-C or a termination signal ends training after the current step, with a complete checkpoint.

    `accelerate launch` dies of the same Ctrl-C at once; this process goes on until its checkpoint is whole. A second
    Ctrl-C, two seconds later or more, stops at once.
    """

    def __init__(self):
        self.stopped = False
        self._first = 0.0
        self._before = {}

    def on_train_begin(self, args, state, control, **kwargs):
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)

    def _note(self, number, frame):
        now = time.monotonic()
        # A launcher and the terminal may both send one for a single key press.
        if self.stopped and number == signal.SIGINT and now - self._first > 2:
            raise KeyboardInterrupt
        if not self.stopped:
            self._first = now
            self.stopped = True

    def on_step_end(self, args, state, control, **kwargs):
        if args.world_size > 1:
            # Ranks hear the signal at different steps; all must stop at the same one.
            flag = torch.tensor(int(self.stopped), device=args.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            self.stopped = bool(flag)
        if self.stopped:
            control.should_training_stop = True
            # The last step of an epoch is followed by its evaluation, which a resumed run would not make up for: the
            # checkpoint is saved behind it.
            control.should_save = not _whole_epochs(state)

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.stopped:
            control.should_save = _whole_epochs(state)
            if not control.should_save:  # stopped amid an epoch, which only now looks ended
                control.should_evaluate = False

    def restore(self):
        """Give the signals back to whom they belonged."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def _whole_epochs(state) -> bool:
    return float(state.epoch).is_integer()
