"""A recipe of several tasks, seen as one recipe for each."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from ..errors import UserError
from ..metrics import HEADLINE, METRICS, REGRESSION, metric_names

MEAN = "mean_of_tasks"  # the headline of a mixture
# What of each task the mean is of: a squared error has a unit and no place in a mean of shares.
SCORE = {
    kind: "pearson" if kind == REGRESSION else name for kind, (name, _) in HEADLINE.items() if kind != "multi_task"
}


def task_recipe(recipe, task: str):
    """Return the recipe of one task alone: its data and its head, with everything else."""
    return replace(recipe, data=recipe.data.tasks[task], head=head_of(recipe, task))


def head_of(recipe, task: str):
    """Return the head of one task."""
    return recipe.head[task] if isinstance(recipe.head, Mapping) else recipe.head


def task_metrics(names, problem_type: str) -> tuple[str, ...]:
    """Return what is measured of one task: the recipe's metrics that are defined for it, and always its score.

    Args:
        names (`Sequence[str]`, *optional*): the recipe's own; by default those of the problem type.
    """
    if names is not None:
        kinds = {name: getattr(METRICS[name], "func", METRICS[name]).problem_types for name in names}
        names = [name for name in names if problem_type in kinds[name]]
    found = metric_names(problem_type, names)
    return found if SCORE[problem_type] in found else (*found, SCORE[problem_type])


def check_metrics(names) -> None:
    """Refuse names of metrics that there are not.

    Raises:
        `UserError`: the first of them.
    """
    for name in names or ():
        if name not in METRICS:
            raise UserError(f"metrics: {name!r} is not one; allowed: {', '.join(METRICS)}")


@contextmanager
def told_of(task: str) -> Iterator[None]:
    """Put the task's name before what is wrong with its data or its head, and into the flags that would mend it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"task {task}: {str(error).replace('--data.', f'--data.tasks.{task}.')}") from error
