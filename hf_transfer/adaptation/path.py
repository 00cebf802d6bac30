"""The path of a recipe for two domains: open, train beside what it is compared with, save, measure, publish."""

from ..opening import settle
from ..order import Order
from ..predictor import load
from ..recipe import Recipe
from ..results import RunResult
from ..single_task import begin, finish
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
    opened = begin(recipe, order)
    for line in domain_lines(opened):
        order.say(line)
    arms = {arm.name: train_arm(arm, opened, order) for arm in arms_of(opened)}
    if arms:
        order.say("\nthe recipe itself")
        # From its own seed: its first random numbers must not depend on what was trained before it.
        opened = settle(opened.recipe, opened.splits, opened.start, opened.names, order, order.checkpoints)
    ground = Ground(order, opened.processor, opened.splits, opened.head_learnt)
    model, told = train_stages(opened.plans, opened.model, ground, train_stage)

    def on_both_domains(predictor, folder) -> dict:
        others = {name: load(place, order.trust_remote_code) for name, place in arms.items()}
        return {"domains": compare(opened, predictor, others, told, folder)}

    result = finish(opened, model, told, order, on_both_domains)
    domains = result.data["domains"]
    order.say("\n" + "\n".join(lines_of(domains, extremes(opened.splits.train, domains.get("weighting")))))
    return result
