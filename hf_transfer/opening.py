"""From a recipe to all that its training needs: rows, model and plans. Whatever can be wrong is told here."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import set_seed

from .adapter import check_base
from .assembly import build_model, checkpoint_label_names, origin
from .data import SourceTarget, load_data, load_domains
from .metrics import metric_names
from .order import Order
from .plan import Plan, arguments_of, plan_stages
from .recipe import Recipe
from .recipe_json import recipe_to_dict
from .results import hub_sources
from .start import Start, open_start


@dataclass
class Opened:
    """A recipe, ready to be trained.

    Args:
        recipe (`Recipe`): with the columns that were found; of a single stage nothing is left on auto.
        resolved (`dict`): what recipe.json holds.
        start (`Start`, *optional*): the finished model that goes on.
        splits (`Splits`): labelled rows.
        processor: the tokenizer or image processor.
        model (`nn.Module`): on its device.
        plans (`list[Plan]`): one for each stage.
        head_learnt (`bool`): whether the head knows these very labels before training.
        names (`Sequence[str]`, *optional*): the classes that the checkpoint's own head knows.
    """

    recipe: Recipe
    resolved: dict
    start: Start | None
    splits: Any
    processor: Any
    model: Any
    plans: list[Plan]
    head_learnt: bool
    names: Any = None

    @property
    def settings(self) -> dict:
        """All that must be the same when a stopped run goes on."""
        phases = {f"stage {number}": plan.phases for number, plan in enumerate(self.plans, 1)}
        return {**self.resolved, "dtypes": phases, "start_from": self.start and self.start.record}

    @property
    def origins(self) -> list[tuple[str, str | None, bool]]:
        """The checkpoints that the weights come from, the revision of each, and whether it is on the Hub."""
        if self.start is not None:
            return [(self.start.record["source"], self.start.record["revision"], self.start.commit is not None)]
        parts = getattr(self.recipe.backbone, "parts", {"": self.recipe.backbone}).values()
        return [(part.checkpoint, part.revision, _on_hub(part.checkpoint)) for part in parts]


def _on_hub(checkpoint: str) -> bool:
    return hub_sources({"backbone": {"checkpoint": checkpoint}})["base_model"] is not None


def open_recipe(recipe: Recipe, order: Order) -> Opened:
    """Load rows and model, and settle every stage.

    Raises:
        `UserError`: whatever is wrong with the recipe, its rows or its checkpoint.
    """
    trust_remote_code = order.trust_remote_code
    start = None if order.start_from is None else open_start(os.fspath(order.start_from), trust_remote_code)
    recipe, taken = (recipe, None) if start is None else start.settle(recipe)
    check_base(recipe, start)
    backbone = recipe.backbone
    source = backbone if start is None else start.reading(backbone)
    source.load_config(trust_remote_code)  # a checkpoint that cannot be had is told before the data are read
    names = start.labels.names if start else checkpoint_label_names(source, recipe.head, trust_remote_code)
    read = load_domains if isinstance(recipe.data, SourceTarget) else load_data
    splits = read(recipe.data, label_order=names, progress=order.state.is_main_process)
    if start is None:
        taken = origin(source, recipe.head, splits.labels, trust_remote_code)
    else:
        splits = start.check_labels(splits)
    splits = replace(splits, notes=(*splits.notes, *filter(None, [taken])))
    recipe = replace(recipe, data=_with_columns(recipe.data, splits))
    return settle(recipe, splits, start, names, order, order.checkpoints)


def _with_columns(data, splits):
    """Say which columns were found."""
    if isinstance(data, SourceTarget):
        own = {name: value for name, value in splits.target_columns.items() if getattr(data.target, name) is None}
        source, target = replace(data.source, **splits.columns), replace(data.target, **own)
        return replace(data, source=source, target=target)
    return replace(data, **splits.columns)


def settle(recipe: Recipe, splits, start: Start | None, names, order: Order, checkpoints: Path) -> Opened:
    """Build the model for rows that are loaded, and settle every stage.

    Args:
        start (`Start`, *optional*): the finished model that goes on.
        names (`Sequence[str]`, *optional*): the classes that the checkpoint's own head knows.
        checkpoints (`Path`): where resume state goes.

    Raises:
        `UserError`: fields that do not go together, or a checkpoint that cannot be used.
    """
    backbone, trust_remote_code = recipe.backbone, order.trust_remote_code
    source = backbone if start is None else start.reading(backbone)
    metrics = metric_names(splits.labels.problem_type, recipe.metrics)  # a wrong name is told now
    stages = arguments_of(recipe, checkpoints, metrics)
    args = stages[-1].args
    set_seed(args.seed)
    processor = source.processor(trust_remote_code)
    if start is None:
        model = build_model(source, recipe.head, splits.labels, processor, trust_remote_code)
    else:
        model = start.build(recipe)
    model = model.to(args.device)
    plans = plan_stages(stages, model, backbone.depths(model), order.dtype)
    if len(plans) == 1:
        recipe = replace(recipe, backbone=plans[0].recipe.backbone)
    kept = start is not None or names == splits.labels.names  # a head that knows these very classes
    return Opened(recipe, recipe_to_dict(recipe), start, splits, processor, model, plans, kept, names)
