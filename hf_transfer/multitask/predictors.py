"""The model of several tasks, loaded to predict: a predictor for each task."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import UserError
from .tasks import task_metrics, task_recipe


class TaskPredictors(Mapping):
    """A finished model of several tasks: a mapping of each task's name to its [`Predictor`]; all share one backbone.

    Args:
        folder (`Path`): of the run.
        recipe (`Recipe`): how it was made.
        model (`TransferForMultiTask`): loaded.
        predictor: makes a [`Predictor`] of a folder, a single-task model and its recipe.
    """

    def __init__(self, folder, recipe, model, predictor):
        self.folder, self.recipe, self.model = folder, recipe, model
        self._tasks = {}
        for task in recipe.data.tasks:
            view, own = model.single(task), task_recipe(recipe, task)
            if own.metrics is not None:  # those that are defined for this task
                own = replace(own, metrics=task_metrics(own.metrics, view.config.problem_type))
            self._tasks[task] = predictor(folder, model=view, recipe=own)

    def __getitem__(self, task: str):
        if task not in self._tasks:
            raise UserError(f"{self.folder} has no task {task!r}; tasks: {', '.join(self._tasks)}")
        return self._tasks[task]

    def __iter__(self):
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def of(self, task: str | None):
        """Return the predictor of one task; without a name, of the only one.

        Raises:
            `UserError`: no name and several tasks, or no such task.
        """
        if task is None and len(self) != 1:
            raise UserError(f"{self.folder} holds {len(self)} tasks; say which: --task {' or --task '.join(self)}")
        return self[next(iter(self)) if task is None else task]

    def predict(self, inputs: Sequence, task: str | None = None) -> list:
        """Predict with the head of one task; see [`Predictor.predict`]."""
        return self.of(task).predict(inputs)
