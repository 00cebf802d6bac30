"""The path of a pipeline: each recipe starts from what the one before left, and the target runs without them too."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import folders
from ..clock import Clock
from ..data import load_data
from ..data.raw_loading import content_keys
from ..jsonfile import write_json
from ..order import Order
from ..pretraining.checks import pretrains
from ..recipe import Pipeline, Recipe
from ..recipe_json import pipeline_to_dict
from ..results import RunResult
from ..resume import remember
from ..training import Interrupted
from .compare import compare
from .report import comparison_table, pipeline_card


@dataclass(frozen=True)
class Part:
    """One run of a pipeline.

    Args:
        folder (`str`): below the pipeline's: `1-pretraining-mlm`, `2-text-full_finetune`, `baseline`.
        name (`str`): of its recipe.
        recipe (`Recipe`): with the checkpoint it starts from.
    """

    folder: str
    name: str
    recipe: Recipe


def carry_out(pipeline: Pipeline, order: Order, one: Callable) -> RunResult:
    """Run every part that is not finished, compare, and publish.

    Args:
        one (`Callable[[Recipe, Order, frozenset[bytes]], RunResult]`): carries out one recipe; the last argument are
            content keys of rows that it must not see.

    Raises:
        `UserError`, `Interrupted`: see [`run`].
    """
    state, parts = order.state, parts_of(pipeline, order.folder)
    resolved = pipeline_to_dict(pipeline)
    if state.is_main_process:
        remember(order.checkpoints, resolved, order.resume)
        write_json(order.checkpoints / folders.PARTS, {"parts": [part.folder for part in parts]})
    state.wait_for_everyone()
    first, last = pipeline.recipes[0].backbone.checkpoint, pipeline.recipes[-1].backbone.checkpoint
    if pipeline.baseline and first != last:
        order.say(f"note: the baseline starts from {last}, the first part from {first}: two things differ")
    held_out = _held_out(pipeline, order)
    try:
        results = [_run(part, number, len(parts), order, held_out, one) for number, part in enumerate(parts, 1)]
    except Interrupted as stop:
        raise Interrupted(
            f"stopped; what is done is kept. To go on, give the same command with --output_dir {order.folder} --resume"
        ) from stop
    if state.is_main_process:
        _finish(pipeline, resolved, parts, results, order)
    state.wait_for_everyone()
    return RunResult.load(order.folder)


def parts_of(pipeline: Pipeline, folder: Path) -> list[Part]:
    """Return the runs of a pipeline, in the order in which they are made."""
    parts: list[Part] = []
    for number, (name, recipe) in enumerate(zip(pipeline.names, pipeline.recipes, strict=True), 1):
        if parts:
            before = str(folder / parts[-1].folder)
            recipe = replace(recipe, backbone=replace(recipe.backbone, checkpoint=before, revision=None))
        parts.append(Part(f"{number}-{name.replace('/', '-')}", name, recipe))
    if pipeline.baseline:
        parts.append(Part("baseline", pipeline.names[-1], pipeline.recipes[-1]))
    return parts


def _held_out(pipeline: Pipeline, order: Order) -> frozenset[bytes]:
    """What pretraining must not read: the target's validation and test inputs."""
    if not any(pretrains(recipe) for recipe in pipeline.recipes):
        return frozenset()
    if pipeline.transductive:
        order.say("note: pretraining may read the inputs of the target's test rows (transductive)")
        return frozenset()
    splits = load_data(pipeline.recipes[-1].data, progress=order.state.is_main_process)
    keys = frozenset(content_keys(splits.validation) | content_keys(splits.test))
    order.say(f"note: {len(keys):,} validation and test inputs of the target are kept from pretraining")
    return keys


def _run(part: Part, number: int, count: int, order: Order, held_out: frozenset[bytes], one: Callable) -> RunResult:
    """Run one part, or find what it left before a resumed run was stopped."""
    folder, done = order.folder / part.folder, order.checkpoints / f"stage-{part.folder}" / folders.FINISHED
    order.say(f"\n{'part' if part.folder != 'baseline' else 'baseline, part'} {number} of {count}: {part.folder}")
    if order.resume and done.exists():
        order.say("  finished before")
        return RunResult.load(folder)
    resume = order.resume and folders.resumable(folder)
    if order.state.is_main_process:
        # The pipeline's own folder was claimed, and with it whatever is in this one.
        folders.claim(folder, resume, overwrite=not resume)
    order.state.wait_for_everyone()
    inner = replace(order, folder=folder, name=part.name, resume=resume, clock=Clock())
    try:
        result = one(part.recipe, inner, held_out)
    finally:
        if order.state.is_main_process:
            folders.tidy(folder)
    if order.state.is_main_process:
        done.parent.mkdir(parents=True, exist_ok=True)
        write_json(done, {})
    order.state.wait_for_everyone()
    return result


def _finish(pipeline: Pipeline, resolved: dict, parts: list[Part], results: list[RunResult], order: Order) -> None:
    staging = folders.staging(order.folder)
    count = len(pipeline.recipes)
    target = results[count - 1]
    data = {
        "recipe": order.name,
        "headline": target.headline,
        "metrics": target.metrics,
        "problem_type": target.problem_type,
        "parts": [
            {"folder": part.folder, "recipe": part.name, "headline": one.headline, "metrics": one.metrics,
             "dropped": one.data["data"]["dropped"]}
            for part, one in zip(parts, results, strict=True)
        ],
        "comparison": compare(target, results[-1], pipeline.recipes[-1].data) if pipeline.baseline else None,
        "transductive": pipeline.transductive,
        "environment": target.data["environment"],
    }  # fmt: skip
    result = RunResult(staging, order.name, resolved, data)
    (staging / "recipe.json").write_text(json.dumps(resolved, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    order.publish(result, pipeline_card(result))
    order.say(f"\n{comparison_table(result)}")
