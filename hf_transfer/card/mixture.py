"""The card of a model of several tasks: what it is, and a section for each task."""

import json

from ..results import RunResult, duration
from ..scrub import without_places
from ..task_results import task_result
from .markdown import cell, fenced, pairs, table
from .metadata import card_data, check_metadata, front_matter
from .sections import sections


def mixture_card(result: RunResult, loading_snippet: str) -> str:
    """Markdown with the YAML block the Hub reads; see [`model_card`].

    Args:
        result (`RunResult`): of a finished run whose data is a `TaskMixture`.
        loading_snippet (`str`): Python lines that load the model.

    Raises:
        `UserError`: the metadata lack a key that every card has.
    """
    data = card_data(result)
    check_metadata(data.to_dict())
    tasks = {task: sections(task_result(result, task), loading_snippet) for task in result.data["tasks"]}
    shared = next(iter(tasks.values()))
    parts = [
        f"---\n{front_matter(data)}\n---",
        f"# {cell(result.recipe.get('summary') or result.recipe_name or 'Fine-tuned model')}",
        _description(result),
        f"## How to load it\n\n{shared['snippet']}\n\n{_loading(shared['loading'])}",
        f"## The recipe\n\n{_recipe(result)}",
        "## Evaluation\n\nMeasured on the saved model, loaded anew.",
        f"{table(result.score_rows())}\n\n{_mean(result)}",
        *(_task(name, one) for name, one in tasks.items()),
        f"## Training\n\n{_training(result, shared['training'])}",
        _speed(result),
        f"## Limits\n\n{shared['limits']}",
        f"## Environment\n\n{shared['environment']}" if shared["environment"] else "",
        f"## Citation\n\n{shared['citation']}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _description(result: RunResult) -> str:
    checkpoint = sections(task_result(result, next(iter(result.data["tasks"]))), "")["description"].splitlines()
    backbone = [line for line in checkpoint if "Backbone" in line]
    rows = [["task", "kind", "labels", "rows (train, validation, test)"]]
    for name, one in result.data["tasks"].items():
        sizes = ", ".join(f"{one['data'][split]:,}" for split in ("train", "validation", "test"))
        rows.append([name, one["problem_type"], str(len(one["labels"])), sizes])
    made = f"recipe `{result.recipe_name}`" if result.recipe_name else "a recipe"
    return "\n\n".join(
        [f"One backbone with a head for each task. Made with hf-transfer-recipes from {made}.", *backbone, table(rows)]
    )


def _loading(text: str) -> str:
    alone = "`hf-transfer export OUT --task NAME --output DIR` writes one task as a model of its own, for `pipeline`."
    return f"{text} {alone}"


def _recipe(result: RunResult) -> str:
    text = json.dumps(without_places(result.recipe, result.recipe, result.data), indent=2, ensure_ascii=False)
    again = (
        "`hf-transfer run recipe.json`, or once it is on the Hub `hf-transfer run hub://user/name`, trains it again; "
        "flags change what it names."
    )
    return f"{again}\n\n<details>\n<summary>recipe.json</summary>\n\n{fenced(text, 'json')}\n\n</details>"


def _mean(result: RunResult) -> str:
    scores = ", ".join(f"{result.metric_title(name)} of {task}" for task, name in result.headline["of"].items())
    return f"The headline is the mean over the tasks: {scores}."


def _task(name: str, one: dict[str, str]) -> str:
    parts = [f"### Task {cell(name)}", one["data"], one["scores"]]
    parts += [f"**{one['verdict']}**" if one["verdict"] else "", one["classes"]]
    return "\n\n".join(part for part in parts if part)


def _training(result: RunResult, shared: str) -> str:
    data, fit = result.recipe["data"], result.data.get("fit") or {}
    how = data["sampling"] + (f", temperature {data['temperature']:g}" if data.get("temperature") else "")
    lines = [("Tasks drawn", how)]
    weights = fit.get("task_weights") or {}
    if data.get("weights"):
        learnt = " (learnt, in the end)" if data["weights"] == "uncertainty" else ""
        lines.append((f"Weights of the losses{learnt}", ", ".join(f"{k} {v:.4g}" for k, v in weights.items())))
    drawn = (result.data.get("pictures") or {}).get("training_curve")
    curve = f"![Losses and validation mean over the tasks by epoch]({drawn['file']})" if drawn else ""
    return "\n\n".join(part for part in (f"{shared}\n{pairs(lines)}", curve) if part)


def _speed(result: RunResult) -> str:
    times = result.data.get("timing") or {}
    if not times:
        return ""
    told = ", ".join(f"{name.removesuffix('_s')} {duration(seconds)}" for name, seconds in times.items())
    return f"## Speed\n\n{pairs([('Time', told)])}"
