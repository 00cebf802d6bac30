"""The path of a recipe for one classification or regression task: open, train, save, measure, publish."""

from collections.abc import Callable

from . import account, folders
from .card import draw, model_card, shared_terms
from .learned import learned_lines, learned_of
from .metrics import HEADLINE
from .opening import Opened, open_recipe
from .order import Order
from .predictor import load
from .recipe import Recipe
from .report import describe, loading_snippet, measure
from .results import RunResult, hub_sources
from .resume import remember
from .saving import save_model
from .training import Ground, train_stages


def carry_out(recipe: Recipe, order: Order) -> RunResult:
    """Train, measure and save what `recipe` describes.

    Raises:
        `UserError`, `Interrupted`: see [`run`].
    """
    opened = begin(recipe, order)
    ground = Ground(order, opened.processor, opened.splits, opened.head_learnt)
    model, told = train_stages(opened.plans, opened.model, ground)
    return finish(opened, model, told, order)


def begin(recipe: Recipe, order: Order) -> Opened:
    """Open a recipe, write down what the run is, and say what is about to be done."""
    state = order.state
    with order.clock("load"):
        opened = open_recipe(recipe, order)
        if state.is_main_process:
            remember(order.checkpoints, opened.settings | order.settings, order.resume)
        state.wait_for_everyone()
    for line in describe(order.name, opened.recipe, opened.splits, opened.plans):
        order.say(line)
    return opened


def finish(opened: Opened, model, told: list[dict], order: Order, measure_more: Callable | None = None) -> RunResult:
    """Save the trained model, measure what was saved, and publish it.

    Args:
        told (`list[dict]`): what was told of each stage.
        measure_more (`Callable[[Predictor, Path], dict]`, *optional*): measures more of the saved model, and may leave
            files in the folder it is given; what it returns stands in results.json.
    """
    if order.state.is_main_process:
        _publish(opened, model, told, order, measure_more)
    order.state.wait_for_everyone()
    return RunResult.load(order.folder)


def _publish(opened: Opened, model, told: list[dict], order: Order, measure_more: Callable | None) -> None:
    clock, say, staging = order.clock, order.say, folders.staging(order.folder)
    with clock("save"):
        save_model(model, opened.processor, opened.resolved, staging)
    with clock("evaluate"):
        predictor = load(staging, order.trust_remote_code)
        headline = HEADLINE[opened.splits.labels.problem_type]
        measured = measure(predictor, opened.splits, opened.recipe.metrics, headline)
        if measure_more is not None:
            measured |= measure_more(predictor, staging)
    inherited, remarks = shared_terms(opened.origins, *order.terms)
    for line in remarks:
        say(f"note: {line}")
    data = {**inherited, **measured, "notes": [*opened.splits.notes, *remarks], **_told(opened, told, order)}
    learned = learned_of(model)
    if learned:
        data["learned"] = learned
    for line in learned_lines(learned):
        say(line)
    result = RunResult(staging, order.name, opened.resolved, {"recipe": order.name, **data})
    result.data["pictures"] = draw(result, staging)
    order.publish(result, model_card(result, loading_snippet(model, opened.recipe)))
    say(f"\n{result.table()}")


def _told(opened: Opened, told: list[dict], order: Order) -> dict:
    """Return what results.json holds of the recipe, the rows and the training, apart from the scores."""
    recipe, splits = opened.recipe, opened.splits
    return {
        "checkpoint": _of_parts(recipe.backbone, "checkpoint"),
        "hub_sources": hub_sources(opened.resolved),
        "revision": _of_parts(recipe.backbone, "revision"),
        "start_from": opened.start and opened.start.record,
        "split_seed": recipe.data.split_seed,
        "problem_type": splits.labels.problem_type,
        "labels": list(splits.labels.names),
        "data": account.of_rows(splits),
        **account.of_training(opened.plans, told, recipe.training, order),
    }


def _of_parts(backbone, field: str):
    """A field of a backbone; of a fused one that of each part, by name."""
    parts = getattr(backbone, "parts", None)
    return getattr(backbone, field) if parts is None else {name: getattr(part, field) for name, part in parts.items()}
