"""One task of a result of several, seen as the result of a run of its own."""

from .errors import UserError
from .results import RunResult, hub_sources

# What results.json of a mixture says of all tasks together
_OF_ALL = ("columns", "tasks", "confusion", "per_class", "pictures", "history", "hub_sources", "throughput", "files")


def is_mixture(result: RunResult) -> bool:
    """Whether a result is of several tasks."""
    return "tasks" in result.data


def task_result(result: RunResult, task: str) -> RunResult:
    """Return the result of one task: its own figures, rows and labels, with what the run was otherwise.

    Raises:
        `UserError`: there is no such task; those that there are are named.
    """
    tasks = result.data["tasks"]
    if task not in tasks:
        raise UserError(f"{result.output_dir} has no task {task!r}; tasks: {', '.join(tasks)}")
    recipe = single_recipe(result.recipe, task)
    shared = {key: value for key, value in result.data.items() if key not in _OF_ALL}
    known = result.data.get("hub_sources") or {}
    own = [one for one in hub_sources(recipe)["datasets"] if one in (known.get("datasets") or [])]
    data = {**shared, **tasks[task], "hub_sources": {**known, "datasets": own}}
    data["notes"] = [*tasks[task].get("notes", []), *result.data.get("notes", [])]
    data["split_seed"] = recipe["data"].get("split_seed")
    return RunResult(result.output_dir, result.recipe_name, recipe, data)


def single_recipe(recipe: dict, task: str) -> dict:
    """Return the JSON of the recipe of one task alone."""
    head = recipe["head"]
    return {**recipe, "data": recipe["data"]["tasks"][task], "head": head if "kind" in head else head[task]}
