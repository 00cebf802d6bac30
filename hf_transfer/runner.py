"""`run(recipe, output_dir)`: the one straight path from a recipe to a trained, measured, saved model.

The file is not called run.py: a module of that name would hide the function in `from hf_transfer import run`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from accelerate.utils import broadcast_object_list

from . import folders
from .adaptation.checks import adapts
from .data.mixture import TaskMixture
from .errors import UserError
from .licenses import settle_terms
from .order import Order
from .pretraining.checks import pretrains
from .processes import shared_state
from .recipe import Pipeline, Recipe
from .report import how_to_use, how_to_use_tasks
from .results import RunResult
from .stages import uses_cpu, with_overrides
from .threads import use_idle_cores
from .training import Interrupted

__all__ = ["Interrupted", "run"]


def run(
    recipe: Recipe | Pipeline,
    output_dir: str | os.PathLike | None = None,
    *,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep_checkpoints: bool = False,
    trust_remote_code: bool = False,
    start_from: str | os.PathLike | None = None,
    dtype: str = "auto",
    probe_budget: bool = False,
    license: str | None = None,
    language: str | Sequence[str] | None = None,
    farewell: bool = True,
    **overrides,
) -> RunResult:
    """Train, measure and save what `recipe` describes.

    Args:
        recipe (`Recipe` or `Pipeline`): data, backbone, head, strategy, objective; or several of them.
        output_dir (`str`, *optional*): where the result goes; by default the first free `runs/NAME`.
        name (`str`, *optional*): the recipe's name, for the result and the default folder.
        resume (`bool`): go on from the last checkpoint in `output_dir`.
        overwrite (`bool`): replace the result in `output_dir` once this run has succeeded; other files there stay.
        keep_checkpoints (`bool`): leave `output_dir/checkpoints` in place.
        trust_remote_code (`bool`): run the code that a checkpoint brings; one from the Hub must then be pinned by a
            full commit hash, `backbone.revision`.
        start_from (`str`, *optional*): train this finished model further, its head too: the folder of a run, or
            `user/name` or `user/name@REVISION` of a pushed one. The recipe's backbone and head must be its own, and
            the rows must have its classes.
        dtype (`str`): `"float32"`, `"bfloat16"`, or `"auto"`: for each phase what a committed table of measurements
            says is faster on this kind of device. The saved model is float32 in any case.
        probe_budget (`bool`): before the features of a frozen backbone are extracted, time a few sizes of a batch on
            this machine and take the fastest; results.json says which. Batches are part of what names recorded
            features, so a size other than the committed default makes recordings of its own.
        license (`str`, *optional*): of the model, an id the Hub knows; by default what the base model's card says.
        language (`str` or `Sequence[str]`, *optional*): of texts, ISO 639 codes; by default the same.
        farewell (`bool`): end with the lines that say where the model is and how to use it.
        overrides: fields of `TrainingArguments`; they win over the recipe's own.

    Returns:
        [`RunResult`]: the figures, and the folder with the model.

    Raises:
        `UserError`: one line about what is wrong and what is allowed; what `output_dir` held is still there.
        `Interrupted`: Ctrl-C; the checkpoint is complete.
    """
    terms = settle_terms(license, language)  # a wrong id is told before anything is done
    recipe = with_overrides(recipe, overrides)
    state = shared_state(uses_cpu(recipe))
    use_idle_cores(state.num_processes)
    folder = _claim(state, output_dir, name, resume, overwrite)
    say = print if state.is_main_process else (lambda *_, **__: None)
    order = Order(
        folder,
        name,
        resume,
        keep_checkpoints,
        trust_remote_code,
        start_from,
        dtype,
        terms,
        state,
        say,
        probe_budget=probe_budget,
    )
    try:
        result, farewell_lines = _carry_out(recipe, order)
    finally:
        if state.is_main_process:
            folders.tidy(folder)
    if farewell:
        say(f"\n{farewell_lines}")
    return result


def _carry_out(recipe, order: Order, held_out: frozenset[bytes] = frozenset()) -> tuple[RunResult, str]:
    """Take the path of this kind of recipe; also return what is said in the end."""
    if order.start_from is not None and (isinstance(recipe, Pipeline) or pretrains(recipe)):
        raise UserError("--start_from goes on with a classifier; to pretrain a model set --backbone.checkpoint to it")
    if isinstance(recipe, Pipeline):
        from .pipelines import path, report

        result = path.carry_out(recipe, order, lambda one, inner, held_out: _carry_out(one, inner, held_out)[0])
        return result, report.next_step(order.folder, [part["folder"] for part in result.data["parts"]])
    if pretrains(recipe):
        from .pretraining import path, report

        return path.carry_out(recipe, order, held_out), report.next_step(order.folder, recipe.backbone.modality)
    if isinstance(recipe.data, TaskMixture):
        from .multitask import path

        return path.carry_out(recipe, order), how_to_use_tasks(
            order.folder, recipe.backbone.modality, recipe.data.tasks
        )
    if adapts(recipe):
        from .adaptation.path import carry_out
    else:
        from .single_task import carry_out
    result = carry_out(recipe, order)
    return result, how_to_use(order.folder, recipe.backbone.modality, result.data["data"]["train"])


def _claim(state, output_dir, name, resume, overwrite) -> Path:
    """Choose and claim the output folder on the main process; the other ranks are told which it is."""
    chosen = [None]
    if state.is_main_process:
        folder = Path(output_dir) if output_dir is not None else folders.choose(name or "recipe")
        folders.claim(folder, resume, overwrite)
        chosen = [str(folder)]
    if state.num_processes > 1:
        broadcast_object_list(chosen)
    return Path(chosen[0])
