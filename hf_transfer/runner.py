"""`run(recipe, output_dir)`: the one straight path from a recipe to a trained, measured, saved model.

The file is not called run.py: a module of that name would hide the function in `from hf_transfer import run`.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import set_seed

from . import folders
from .assembly import build_model, checkpoint_label_names, origin
from .card import draw, inherited_terms, model_card
from .clock import Clock
from .data import load_data
from .history import joined
from .licenses import settle_terms
from .metrics import HEADLINE, metric_names
from .plan import arguments_of, plan_stages
from .predictor import load
from .recipe import Recipe
from .recipe_json import recipe_to_dict
from .report import describe, environment, how_to_use, loading_snippet, measure
from .results import RunResult, hub_sources
from .resume import remember
from .saving import save_model
from .stages import with_overrides
from .start import open_start
from .threads import use_idle_cores
from .training import Ground, Interrupted, train_stages

__all__ = ["Interrupted", "run"]


def run(
    recipe: Recipe,
    output_dir: str | os.PathLike | None = None,
    *,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep_checkpoints: bool = False,
    trust_remote_code: bool = False,
    start_from: str | os.PathLike | None = None,
    dtype: str = "auto",
    license: str | None = None,
    language: str | Sequence[str] | None = None,
    farewell: bool = True,
    **overrides,
) -> RunResult:
    """Train, measure and save what `recipe` describes.

    Args:
        recipe (`Recipe`): data, backbone, head, strategy, objective.
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
    state = PartialState()
    use_idle_cores(state.num_processes)
    folder = _claim(state, output_dir, name, resume, overwrite)
    try:
        recipe = with_overrides(recipe, overrides)
        result = _run(
            recipe, folder, name, state, resume, keep_checkpoints, trust_remote_code, start_from, dtype, terms
        )
    finally:
        if state.is_main_process:
            _tidy(folder)
    if farewell and state.is_main_process:
        print(f"\n{how_to_use(folder, recipe.backbone.modality)}")
    return result


def _run(
    recipe, folder, name, state, resume, keep_checkpoints, trust_remote_code, start_from, dtype, terms
) -> RunResult:
    clock, checkpoints = Clock(), folder / folders.CHECKPOINTS
    say = print if state.is_main_process else (lambda *_, **__: None)

    with clock("load"):
        start = None if start_from is None else open_start(os.fspath(start_from), trust_remote_code)
        recipe, taken = (recipe, None) if start is None else start.settle(recipe)
        backbone = recipe.backbone
        source = backbone if start is None else start.reading(backbone)
        source.load_config(trust_remote_code)  # a checkpoint that cannot be had is told before the data are read
        names = start.labels.names if start else checkpoint_label_names(source, recipe.head, trust_remote_code)
        splits = load_data(recipe.data, label_order=names, progress=state.is_main_process)
        if start is None:
            taken = origin(source, recipe.head, splits.labels, trust_remote_code)
        else:
            splits = start.check_labels(splits)
        splits = replace(splits, notes=(*splits.notes, *filter(None, [taken])))
        labels, headline = splits.labels, HEADLINE[splits.labels.problem_type]
        metrics = metric_names(labels.problem_type, recipe.metrics)  # a wrong name is told now
        stages = arguments_of(recipe, checkpoints, metrics)
        args = stages[-1].args
        set_seed(args.seed)
        processor = source.processor(trust_remote_code)
        if start is None:
            model = build_model(source, recipe.head, labels, processor, trust_remote_code).to(args.device)
        else:
            model = start.build(recipe).to(args.device)
        recipe = replace(recipe, data=replace(recipe.data, **splits.columns))
        plans = plan_stages(stages, model, backbone.depths(model), dtype)
        if len(plans) == 1:
            recipe = replace(recipe, backbone=plans[0].recipe.backbone)
        resolved = recipe_to_dict(recipe)
        if state.is_main_process:
            phases = {f"stage {number}": plan.phases for number, plan in enumerate(plans, 1)}
            settings = {"dtypes": phases, "start_from": start and start.record}
            remember(checkpoints, {**resolved, **settings}, resume)
        state.wait_for_everyone()

    for line in describe(name, recipe, splits, plans):
        say(line)
    kept = start is not None or names == labels.names  # a head that knows these very classes
    ground = Ground(processor, splits, folder, state, clock, say, resume, checked=dtype == "auto", head_learnt=kept)
    model, told = train_stages(plans, model, ground)
    parameters = {"trainable": plans[-1].trainable, "total": plans[-1].total}
    computed, history = sum(one["computed"] for one in told), joined([one.pop("history", []) for one in told])
    dtypes = {phase: dtype for one in told for phase, dtype in one["dtypes"].items()}

    if state.is_main_process:
        staging = folders.staging(folder)
        with clock("save"):
            save_model(model, processor, resolved, staging)
        with clock("evaluate"):
            measured = measure(load(staging, trust_remote_code), splits, recipe.metrics, headline)
        sources = hub_sources(resolved)
        base = start.record if start else {"source": backbone.checkpoint, "revision": backbone.revision}
        on_hub = start.commit is not None if start else sources["base_model"] is not None
        inherited, remarks = inherited_terms(base["source"], base["revision"], on_hub, *terms)
        for line in remarks:
            say(f"note: {line}")
        seconds = clock.seconds()
        result = RunResult(
            output_dir=staging,
            recipe_name=name,
            recipe=resolved,
            data={
                "recipe": name,
                "checkpoint": backbone.checkpoint,
                "hub_sources": sources,
                **inherited,
                "revision": backbone.revision,
                "start_from": start and start.record,
                "seed": args.seed,
                "split_seed": recipe.data.split_seed,
                "problem_type": labels.problem_type,
                "labels": list(labels.names),
                **measured,
                "data": {
                    "train": len(splits.train),
                    "validation": len(splits.validation),
                    "test": len(splits.test),
                    "fingerprint": splits.fingerprint,
                    "dropped": splits.dropped,
                },
                "notes": [*splits.notes, *remarks],
                "fit": told[-1],
                "stages": told,
                "history": history,
                "timing": seconds,
                "throughput": {
                    "features_per_s": round(computed / seconds["features_s"], 1) if computed else None,
                    "train_samples_per_s": told[-1].get("samples_per_s"),
                },
                "parameters": parameters,
                "environment": environment(args, state.num_processes, dtypes),
                "training": dict(recipe.training),
            },
        )
        result.data["pictures"] = draw(result, staging)
        result.data["files"] = sorted({path.name for path in staging.iterdir()} | {"README.md", "results.json"})
        result.save()
        (staging / "README.md").write_text(model_card(result, loading_snippet(model, recipe)), encoding="utf-8")
        folders.publish(folder, keep_checkpoints)
        result.output_dir = folder
        say(f"\n{result.table()}")
    state.wait_for_everyone()
    return RunResult.load(folder)


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


def _tidy(folder: Path) -> None:
    """Leave nothing half done behind; a checkpoint to go on from stays."""
    shutil.rmtree(folder / folders.STAGING, ignore_errors=True)
    if not folders.resumable(folder):
        shutil.rmtree(folder / folders.CHECKPOINTS, ignore_errors=True)
        folders.give_back(folder)
