"""The path of a recipe for several tasks: open, train, save, measure, publish."""

from .. import account, folders
from ..card import draw, inherited_terms
from ..card.mixture import mixture_card
from ..order import Order
from ..predictor import load
from ..recipe import Recipe
from ..results import RunResult, hub_sources
from ..resume import remember
from ..saving import save_model
from ..training import Ground, train_stages
from .measuring import measure_tasks
from .opening import OpenedMixture, open_mixture
from .telling import describe, loading_snippet, results_text
from .training import train_stage


def carry_out(recipe: Recipe, order: Order) -> RunResult:
    """Train, measure and save what `recipe` describes.

    Raises:
        `UserError`, `Interrupted`: see [`run`].
    """
    state = order.state
    with order.clock("load"):
        opened = open_mixture(recipe, order)
        if state.is_main_process:
            remember(order.checkpoints, opened.settings | order.settings, order.resume)
        state.wait_for_everyone()
    for line in describe(order.name, opened):
        order.say(line)
    ground = Ground(order, opened.processor, opened.splits, False)
    model, told = train_stages(opened.plans, opened.model, ground, train_stage)
    if state.is_main_process:
        _finish(opened, model, told, order)
    state.wait_for_everyone()
    return RunResult.load(order.folder)


def _finish(opened: OpenedMixture, model, told: list[dict], order: Order) -> None:
    """Save the trained model, measure what was saved, and publish it."""
    clock, say, staging = order.clock, order.say, folders.staging(order.folder)
    with clock("save"):
        save_model(model, opened.processor, opened.resolved, staging)
    with clock("evaluate"):
        measured = measure_tasks(load(staging, order.trust_remote_code), opened.splits, opened.recipe.metrics)
    inherited, remarks = inherited_terms(*opened.origin, *order.terms)
    for line in remarks:
        say(f"note: {line}")
    for task, one in opened.splits.items():
        measured["tasks"][task] |= _of_task(one)
    notes = [*opened.notes, *remarks]
    data = {**inherited, **measured, "notes": notes, **_told(opened, told, order)}
    result = RunResult(staging, order.name, opened.resolved, {"recipe": order.name, **data})
    result.data["pictures"] = draw(result, staging)
    order.publish(result, mixture_card(result, loading_snippet(opened.recipe)))
    say(f"\n{results_text(result)}")


def _of_task(splits) -> dict:
    return {
        "problem_type": splits.labels.problem_type,
        "labels": list(splits.labels.names),
        "data": account.of_rows(splits),
        "notes": list(splits.notes),
    }


def _told(opened: OpenedMixture, told: list[dict], order: Order) -> dict:
    """Return what results.json holds of the recipe, the rows and the training, apart from the scores."""
    recipe = opened.recipe
    rows = [account.of_rows(one) for one in opened.splits.values()]
    why = dict.fromkeys(reason for one in rows for reason in one["dropped"])
    return {
        "checkpoint": recipe.backbone.checkpoint,
        "hub_sources": hub_sources(opened.resolved),
        "revision": recipe.backbone.revision,
        "problem_type": "multi_task",
        "data": {
            **{split: sum(one[split] for one in rows) for split in ("train", "validation", "test")},
            "fingerprint": "-".join(one["fingerprint"] for one in rows),
            "dropped": {reason: sum(one["dropped"].get(reason, 0) for one in rows) for reason in why},
        },
        **account.of_training(opened.plans, told, recipe.training, order),
    }
