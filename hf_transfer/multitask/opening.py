"""From a recipe of several tasks to all that its training needs. Whatever can be wrong is told here."""

from dataclasses import dataclass, replace
from typing import Any

from transformers import set_seed

from ..assembly import build_model, checkpoint_label_names, origin
from ..data import load_data
from ..data.mixture import UNCERTAINTY
from ..errors import UserError
from ..order import Order
from ..plan import Plan, arguments_of, plan_stages
from ..precision import Choice
from ..recipe import Recipe
from ..recipe_json import recipe_to_dict
from ..results import hub_sources
from ..sampling import ORDERS
from ..stages import stages_of
from .joining import join_models
from .leaks import notes_on_shared_texts
from .objective import check_objective
from .tasks import MEAN, check_metrics, head_of, task_metrics, task_recipe, told_of


@dataclass
class OpenedMixture:
    """A recipe of several tasks, ready to be trained.

    Args:
        recipe (`Recipe`): with the columns that were found; of a single stage nothing is left on auto.
        resolved (`dict`): what recipe.json holds.
        splits (`dict[str, Splits]`): labelled rows of each task.
        notes (`list[str]`): for people, on all tasks together.
        processor: the tokenizer or image processor.
        model (`TransferForMultiTask`): on its device.
        plans (`list[Plan]`): one for each stage.
    """

    recipe: Recipe
    resolved: dict
    splits: dict
    notes: list[str]
    processor: Any
    model: Any
    plans: list[Plan]

    @property
    def settings(self) -> dict:
        """All that must be the same when a stopped run goes on."""
        return {
            **self.resolved,
            "dtypes": {f"stage {number}": plan.phases for number, plan in enumerate(self.plans, 1)},
            "fingerprints": {task: one.fingerprint for task, one in self.splits.items()},
        }

    @property
    def origin(self) -> tuple[str, str | None, bool]:
        """The checkpoint that the weights come from, its revision, and whether it is on the Hub."""
        backbone = self.recipe.backbone
        return backbone.checkpoint, backbone.revision, hub_sources(self.resolved)["base_model"] is not None


def open_mixture(recipe: Recipe, order: Order) -> OpenedMixture:
    """Load rows and model, and settle every stage.

    Raises:
        `UserError`: whatever is wrong with the recipe, the rows of a task or the checkpoint.
    """
    _check(recipe, order)
    backbone, tasks = recipe.backbone, list(recipe.data.tasks)
    backbone.load_config(order.trust_remote_code)  # a checkpoint that cannot be had is told before the data are read
    splits = {task: _load(recipe, task, order) for task in tasks}
    metrics = {task: task_metrics(recipe.metrics, one.labels.problem_type) for task, one in splits.items()}
    stages = [_with_unused(stage) for stage in arguments_of(*_judged_by_mean(recipe, order.checkpoints, metrics))]
    args = stages[-1].args
    set_seed(args.seed)
    processor = backbone.processor(order.trust_remote_code)
    models, by_task = {}, []
    for task in tasks:
        with told_of(task):
            head = head_of(recipe, task)
            model = build_model(backbone, head, splits[task].labels, processor, order.trust_remote_code)
            models[task] = model.to(args.device)
            own = [stage._replace(recipe=_descending(task_recipe(stage.recipe, task))) for stage in stages]
            by_task.append(plan_stages(own, models[task], backbone.depths(models[task]), order.dtype))
    model = join_models(models, backbone.modality)
    depths = backbone.depths(model)
    columns = {task: replace(recipe.data.tasks[task], **splits[task].columns) for task in tasks}
    recipe = replace(recipe, data=replace(recipe.data, tasks=columns))
    plans = [
        _joined(stage, found, recipe, model, depths)
        for stage, found in zip(stages, zip(*by_task, strict=True), strict=True)
    ]
    if len(plans) == 1:
        recipe = replace(recipe, backbone=plans[0].recipe.backbone)
    notes = notes_on_shared_texts(splits) if backbone.modality == "text" else []
    return OpenedMixture(recipe, recipe_to_dict(recipe), splits, notes, processor, model, plans)


def _check(recipe: Recipe, order: Order) -> None:
    if order.start_from is not None:
        raise UserError(
            "--start_from trains a model of one task further, and this recipe has several; leave it out, or start "
            f"from its encoder: --backbone.checkpoint {order.start_from}"
        )
    check_metrics(recipe.metrics)
    for stage in stages_of(recipe):
        check_objective(stage.recipe.objective)
        frozen = stage.recipe.strategy.frozen_depth(1) >= 1
        if frozen and recipe.data.weights == UNCERTAINTY:
            raise UserError(
                "data.weights uncertainty weighs tasks that pull at one backbone, and FrozenFeatures moves none, so "
                "that no head learns at another's cost; leave it out"
            )
    for task in recipe.data.tasks:
        head = head_of(recipe, task)
        if getattr(head, "fit", "auto") == "lbfgs" or getattr(head, "l2", None) is not None:
            raise UserError(
                f"task {task}: head.fit lbfgs and head.l2 are for one task; the heads of a TaskMixture are trained by "
                "gradient descent (fit sgd)"
            )


def _descending(recipe: Recipe) -> Recipe:
    """A linear head on recorded features would be solved for; here the tasks take turns."""
    return replace(recipe, head=replace(recipe.head, fit="sgd")) if hasattr(recipe.head, "fit") else recipe


def _load(recipe: Recipe, task: str, order: Order):
    """Read the rows of one task."""
    backbone, head = recipe.backbone, head_of(recipe, task)
    with told_of(task):
        names = checkpoint_label_names(backbone, head, order.trust_remote_code)
        splits = load_data(recipe.data.tasks[task], label_order=names, progress=order.state.is_main_process)
        taken = origin(backbone, head, splits.labels, order.trust_remote_code)
    return replace(splits, notes=(*splits.notes, *filter(None, [taken])))


def _judged_by_mean(recipe: Recipe, checkpoints, metrics) -> tuple:
    """Return what `arguments_of` takes: the best epoch is the one with the best mean over the tasks, unless the recipe
    names another metric, such as `sst2_accuracy`."""
    known = {f"{task}_{name}": name for task, names in metrics.items() for name in (*names, "loss")}
    stages = stages_of(recipe)
    settled = {"metric_for_best_model": MEAN}

    def judged(training) -> dict:
        values = {**settled, **training}
        best = str(values["metric_for_best_model"]).removeprefix("eval_")
        lower = known.get(best, best) in ("loss", "mse", "mae", "log_loss", "ece")
        return {"greater_is_better": not lower, **values}

    if isinstance(recipe.strategy, tuple):
        strategy = tuple(
            replace(stage, training={**stage.training, **judged(one.recipe.training)})
            for stage, one in zip(recipe.strategy, stages, strict=True)
        )
        recipe = replace(recipe, strategy=strategy)
    else:
        recipe = replace(recipe, training=judged(recipe.training))
    return recipe, checkpoints, (MEAN, *known)


def _with_unused(stage):
    """Let DDP expect that a step reaches one head of several, and refuse batches that are not planned here."""
    if stage.args.train_sampling_strategy not in ORDERS:
        raise UserError(
            f"training.train_sampling_strategy is {stage.args.train_sampling_strategy!r}; with a TaskMixture allowed: "
            f"{', '.join(ORDERS)}"
        )
    if stage.args.ddp_find_unused_parameters is None:
        stage.args.ddp_find_unused_parameters = True
    return stage


def _joined(stage, plans: tuple[Plan, ...], recipe: Recipe, model, depths) -> Plan:
    """Join what was settled for each task of one stage."""
    first = plans[0]
    dtypes, args = dict(first.dtypes), first.args
    different = {plan.dtypes["train"].dtype for plan in plans if "train" in plan.dtypes}
    if len(different) > 1:
        dtypes["train"], args = Choice("float32", "the heads of the tasks differ in what is faster"), stage.args
    settled = replace(stage.recipe, backbone=first.recipe.backbone, data=recipe.data)
    strategy = settled.strategy
    total = sum(parameter.numel() for parameter in model.parameters())
    return replace(
        first,
        recipe=settled,
        args=args,
        fit="sgd",
        dtypes=dtypes,
        trainable=strategy.trainable(model, depths),
        total=total,
    )
