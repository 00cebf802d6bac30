"""Gradient descent of a pretraining task, from its last checkpoint when resumed."""

from ..callbacks import Progress, StopOnSignal
from ..training import to_the_end
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
    for line in trainer.group_lines():
        order.say(line)
    with order.clock("train"):
        told = to_the_end(trainer, stop, order.checkpoints, order)
    return {**told, "best_step": trainer.state.best_global_step if args.load_best_model_at_end else None}
