"""The path of a recipe for two domains: open, train beside what it is compared with, save, measure, publish."""

from pathlib import Path

from .. import folders
from ..card import draw, model_card, shared_terms
from ..learned import learned_lines, learned_of
from ..metrics import HEADLINE
from ..opening import Opened, open_recipe, settle
from ..order import Order
from ..predictor import load
from ..recipe import Recipe
from ..report import describe, loading_snippet, measure
from ..results import RunResult
from ..resume import remember
from ..saving import save_model
from ..single_task import told_of_run
from ..training import Ground, train_stages
from .arms import arms_of, train_arm
from .comparison import compare, extremes
from .telling import domain_lines, lines_of
from .training import train_stage


def carry_out(recipe: Recipe, order: Order) -> RunResult:
    """Train, measure and save what `recipe` describes.

    Raises:
        `UserError`, `Interrupted`: see [`run`].
    """
    state = order.state
    with order.clock("load"):
        opened = open_recipe(recipe, order)
        if state.is_main_process:
            remember(order.checkpoints, opened.settings | order.settings, order.resume)
        state.wait_for_everyone()
    for line in (*describe(order.name, opened.recipe, opened.splits, opened.plans), *domain_lines(opened)):
        order.say(line)
    arms = {arm.name: train_arm(arm, opened, order) for arm in arms_of(opened)}
    if arms:
        order.say("\nthe recipe itself")
        # Its first random numbers must not depend on what was trained before it.
        opened = _reopened(opened, order)
    ground = Ground(order, opened.processor, opened.splits, opened.head_learnt)
    model, told = train_stages(opened.plans, opened.model, ground, train_stage)
    if state.is_main_process:
        _finish(opened, model, told, arms, order)
    state.wait_for_everyone()
    return RunResult.load(order.folder)


def _reopened(opened: Opened, order: Order) -> Opened:
    """Build the model of the recipe anew, from its seed."""
    return settle(opened.recipe, opened.splits, opened.start, opened.names, order, order.checkpoints)


def _finish(opened: Opened, model, told: list[dict], arms: dict[str, Path], order: Order) -> None:
    """Save the trained model, measure what was saved on both domains, and publish it."""
    clock, say, staging = order.clock, order.say, folders.staging(order.folder)
    with clock("save"):
        save_model(model, opened.processor, opened.resolved, staging)
    with clock("evaluate"):
        predictor = load(staging, order.trust_remote_code)
        headline = HEADLINE[opened.splits.labels.problem_type]
        measured = measure(predictor, opened.splits, opened.recipe.metrics, headline)
        others = {name: load(folder, order.trust_remote_code) for name, folder in arms.items()}
        domains = compare(opened, predictor, others, told, staging)
    inherited, remarks = shared_terms(opened.origins, *order.terms)
    for line in remarks:
        say(f"note: {line}")
    data = {**inherited, **measured, "notes": [*opened.splits.notes, *remarks], **told_of_run(opened, told, order)}
    data["domains"] = domains
    learned = learned_of(model)
    if learned:
        data["learned"] = learned
    for line in learned_lines(learned):
        say(line)
    result = RunResult(staging, order.name, opened.resolved, {"recipe": order.name, **data})
    result.data["pictures"] = draw(result, staging)
    order.publish(result, model_card(result, loading_snippet(model, opened.recipe)))
    shown = extremes(opened.splits.train, domains.get("weighting"))
    say(f"\n{result.table()}\n\n" + "\n".join(lines_of(result.data["domains"], shown)))
