"""What a method is compared with: the same recipe on the source alone, and on the labelled target rows alone."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..opening import Opened, settle
from ..order import Order
from ..recipe import Recipe
from ..saving import save_model
from ..training import Ground, train_stages
from .plain import plain
from .training import train_stage

SOURCE_ONLY, TARGET_ONLY = "source_only", "target_only"


class Arm(NamedTuple):
    """One training to compare with.

    Args:
        name (`str`): `"source_only"` or `"target_only"`.
        recipe (`Recipe`): plain: no term between domains, no weights, nothing moved, no target label.
        splits (`Splits`): its rows.
    """

    name: str
    recipe: Recipe
    splits: object


def arms_of(opened: Opened) -> list[Arm]:
    """Return what a recipe is to be compared with; nothing where it is plain itself and reads no target label."""
    recipe, domains = opened.recipe, opened.splits
    if not recipe.data.baseline:
        return []
    alone, found = _alone(recipe), []
    if alone != replace(recipe, data=replace(recipe.data, selection="auto")):
        found.append(Arm(SOURCE_ONLY, alone, _source_alone(domains)))
    if recipe.data.target_labels and domains.held_out is not None and domains.tests_target:
        found.append(Arm(TARGET_ONLY, alone, domains.target_alone()))
    return found


def _alone(recipe: Recipe) -> Recipe:
    data = replace(
        recipe.data,
        target=replace(recipe.data.target, train_per_class=None, validation=None),
        target_labels=False,
        target_weight=1.0,
        weights=None,
        align="none",
        adapt_batch_norm=False,
        selection="auto",
    )
    return plain(recipe, data)


def _source_alone(domains):
    from ..data import Splits

    names = ("train", "validation", "test", "labels", "columns", "fingerprint", "contents", "dropped", "notes")
    return Splits(**{name: getattr(domains, name) for name in names})


def train_arm(arm: Arm, opened: Opened, order: Order) -> Path:
    """Train what is compared with, unless a resumed run did before.

    Returns:
        `Path`: the folder with its model, which goes away with the checkpoints.
    """
    place = order.checkpoints / arm.name
    model_folder = place / "model"
    done = order.resume and model_folder.exists()
    order.state.wait_for_everyone()
    order.say(f"\nto compare with: {arm.name.replace('_', ' ')}" + ("; finished before" if done else ""))
    if done:
        return model_folder
    settled = settle(arm.recipe, arm.splits, opened.start, opened.names, order, place)
    model, _ = train_stages(
        settled.plans,
        settled.model,
        Ground(order, settled.processor, arm.splits, settled.head_learnt),
        train_stage,
    )
    if order.state.is_main_process:
        partial = place / "model.partial"
        partial.mkdir(parents=True, exist_ok=True)
        save_model(model, settled.processor, settled.resolved, partial)
        partial.replace(model_folder)
    order.state.wait_for_everyone()
    return model_folder
