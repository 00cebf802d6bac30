"""Gradient descent of a pretraining task, from its last checkpoint when resumed."""

from transformers import PrinterCallback

from .. import folders
from ..callbacks import Progress, StopOnSignal
from ..groups import group_lines
from ..history import history_of
from ..training import Interrupted
from .trainer import PretrainingTrainer


def descend(opened, order) -> dict:
    """Train `opened.task.model`; the best epoch by validation loss stays.

    Returns:
        `dict`: `samples_per_s`, `best_step` and `history`.

    Raises:
        `Interrupted`: by a signal; the checkpoint is whole.
    """
    task, args, stop = opened.task, opened.args, StopOnSignal()
    trainer = PretrainingTrainer(
        model=task.model,
        args=args,
        train_dataset=task.train,
        eval_dataset=task.validation,
        data_collator=task.collate,
        callbacks=[Progress(task.shown), stop],
        objective=task.objective,
        strategy=opened.recipe.strategy,
        depths=opened.depths,
        figures=task.figures,
    )
    trainer.remove_callback(PrinterCallback)
    for line in group_lines(trainer.groups) if trainer.groups else ():
        order.say(line)
    last = folders.newest_checkpoint(order.checkpoints) if order.resume else None
    with order.clock("train"):
        try:
            outcome = trainer.train(resume_from_checkpoint=None if last is None else str(last))
        finally:
            stop.restore()
            trainer.let_go()
    if stop.stopped:
        raise Interrupted(
            f"stopped; the checkpoint is in {folders.newest_checkpoint(order.checkpoints)}. To go on, give the same "
            f"command with --output_dir {order.folder} --resume"
        )
    return {
        "samples_per_s": round(outcome.metrics["train_samples_per_second"], 1),
        "best_step": trainer.state.best_global_step if args.load_best_model_at_end else None,
        "history": history_of(trainer.state.log_history),
    }
