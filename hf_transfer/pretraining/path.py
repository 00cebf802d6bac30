"""The path of a recipe that pretrains: open, measure, train, save, measure what was saved, publish."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from transformers import set_seed

from .. import folders
from ..arguments import build_arguments
from ..card import inherited_terms
from ..data import RawText, load_raw
from ..data.raw_loading import RawSplits
from ..errors import UserError
from ..order import Order
from ..precision import Choice, choose
from ..recipe import Recipe
from ..recipe_json import recipe_to_dict
from ..results import RunResult, hub_sources
from ..resume import remember
from ..sampling import ORDERS
from . import mlm, simclr
from .card import pretraining_card
from .report import describe, table
from .running import descend
from .task import Task
from .trainer import loss_sums


@dataclass
class Opened:
    """A recipe that pretrains, ready to run.

    Args:
        recipe (`Recipe`), resolved (`dict`): with the column that was found; as JSON.
        splits (`RawSplits`): rows without labels.
        task (`Task`): model and batches.
        args (`TrainingArguments`): of gradient descent.
        depths (`dict[str, int]`): of the parameters.
        dtype (`Choice`): of training.
        trainable (`int`), total (`int`): parameters.
    """

    recipe: Recipe
    resolved: dict
    splits: RawSplits
    task: Task
    args: Any
    depths: dict[str, int]
    dtype: Choice
    trainable: int
    total: int


def carry_out(recipe: Recipe, order: Order, held_out: Collection[bytes] = frozenset()) -> RunResult:
    """Pretrain what `recipe` describes.

    Args:
        held_out (`Collection[bytes]`): content keys of rows that must not be seen; see [`load_raw`].

    Raises:
        `UserError`, `Interrupted`: see [`run`].
    """
    state, say = order.state, order.say
    with order.clock("load"):
        opened = _open(recipe, order, held_out)
        settings = {
            **opened.resolved, "dtypes": {"train": opened.dtype.dtype}, "rows": opened.splits.fingerprint,
        }  # fmt: skip
        if state.is_main_process:
            remember(order.checkpoints, settings, order.resume)
        state.wait_for_everyone()
    for line in describe(order.name, opened):
        say(line)
    task = opened.task
    before = None
    with order.clock("evaluate"):
        if state.is_main_process:
            before = _measure(task, task.model, opened.args)
            say(f"before training: validation {task.headline} {before[task.headline]:.4f}")
        state.wait_for_everyone()
    told = descend(opened, order)
    if state.is_main_process:
        _finish(opened, before, told, order)
    state.wait_for_everyone()
    return RunResult.load(order.folder)


def _open(recipe: Recipe, order: Order, held_out: Collection[bytes]) -> Opened:
    recipe.backbone.load_config(order.trust_remote_code)  # told before the data are read
    args = build_arguments(order.checkpoints, recipe.training, ("perplexity",))
    if args.label_smoothing_factor:
        raise UserError("training.label_smoothing_factor: in pretraining there are no labels to smooth; leave it out")
    if args.train_sampling_strategy not in ORDERS:
        found = args.train_sampling_strategy
        raise UserError(f"training.train_sampling_strategy is {found!r}; allowed in pretraining: {', '.join(ORDERS)}")
    splits = load_raw(recipe.data, held_out=held_out, progress=order.state.is_main_process)
    recipe = replace(recipe, data=replace(recipe.data, **splits.columns))
    set_seed(args.seed)
    method = mlm if isinstance(recipe.data, RawText) else simclr
    task = method.open_task(recipe, splits, order, args.seed)
    model, depths = task.model.to(args.device), recipe.backbone.depths(task.model)
    recipe.strategy.check(depths)
    trainable, total = recipe.strategy.trainable(model, depths), sum(p.numel() for p in model.parameters())
    task.model = recipe.strategy.prepare(model, depths)
    dtype = _dtype(recipe, task, args, order.dtype)
    if dtype.dtype == "bfloat16" and not args.bf16:
        args = replace(args, bf16=True)
    depths = recipe.backbone.depths(task.model)
    return Opened(recipe, recipe_to_dict(recipe), splits, task, args, depths, dtype, trainable, total)


def _dtype(recipe: Recipe, task: Task, args, asked: str) -> Choice:
    named = next((field for field in ("bf16", "fp16") if recipe.training.get(field)), None)
    if named and asked != "auto":
        raise UserError(f"--dtype {asked} and training.{named} both say how to train; give only one of them")
    if named:
        return Choice({"bf16": "bfloat16", "fp16": "float16"}[named], f"training.{named}")
    return choose("train", *task.kind, args.device, asked)


def _measure(task: Task, model, args) -> dict[str, float]:
    """Measure on one process and in float32, so that before and after compare."""
    objective = task.objective.to(args.device)
    sums = loss_sums(
        model, objective, task.validation, task.collate, args.per_device_eval_batch_size, args.device
    )  # fmt: skip
    return task.figures((sums[0] / sums[1]).item())


def _finish(opened: Opened, before: dict, told: dict, order: Order) -> None:
    """Save the backbone, measure what was saved, and publish it."""
    task, clock, say, staging = opened.task, order.clock, order.say, folders.staging(order.folder)
    with clock("save"):
        task.model = opened.recipe.strategy.finish(task.model)
        task.let_go()
        task.save(staging, opened.resolved)
    with clock("evaluate"):
        after = _measure(task, task.reload(staging).to(opened.args.device), opened.args)
    sources = hub_sources(opened.resolved)
    backbone = opened.recipe.backbone
    origin = (backbone.checkpoint, backbone.revision, sources["base_model"] is not None)
    inherited, remarks = inherited_terms(*origin, *order.terms)
    for line in remarks:
        say(f"note: {line}")
    data = {
        **inherited,
        "headline": {"name": task.headline, "value": after[task.headline], "ci95": None, "split": "validation"},
        "metrics": {"before": before, "validation": after},
        "notes": [*opened.splits.notes, *task.lines, *remarks],
        **_told(opened, told, order, sources),
    }
    result = RunResult(staging, order.name, opened.resolved, {"recipe": order.name, **data})
    order.publish(result, pretraining_card(result))
    say(f"\n{table(result)}")


def _told(opened: Opened, told: dict, order: Order, sources: dict) -> dict:
    from ..report import environment

    recipe, splits, args = opened.recipe, opened.splits, opened.args
    return {
        "checkpoint": recipe.backbone.checkpoint,
        "hub_sources": sources,
        "revision": recipe.backbone.revision,
        "seed": args.seed,
        "split_seed": recipe.data.split_seed,
        "problem_type": None,
        "pretraining": {**opened.task.about, "head": type(recipe.head).__name__},
        "data": {
            "train": len(splits.train),
            "validation": len(splits.validation),
            "fingerprint": splits.fingerprint,
            "dropped": splits.dropped,
        },
        "fit": {key: value for key, value in told.items() if key != "history"},
        "history": told["history"],
        "timing": order.clock.seconds(),
        "throughput": {"train_samples_per_s": told["samples_per_s"]},
        "parameters": {"trainable": opened.trainable, "total": opened.total},
        "environment": environment(args, order.state.num_processes, {"train": opened.dtype.dtype}),
        "training": dict(recipe.training),
    }
