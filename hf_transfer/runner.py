"""`run(recipe, output_dir)`: the one straight path from a recipe to a trained, measured, saved model.

The file is not called run.py: a module of that name would hide the function in `from hf_transfer import run`.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import PrinterCallback, set_seed

from . import folders
from .arguments import build_arguments
from .assembly import build_model, checkpoint_label_names, origin
from .callbacks import Progress, StopOnSignal
from .card import draw, inherited_terms, model_card
from .clock import Clock
from .data import load_data
from .errors import UserError
from .features.dataset import collate_features
from .features.splits import record_splits
from .heads import LinearHead
from .history import history_of
from .inputs import collator, encode
from .licenses import settle_terms
from .linear_fit import fit_linear, fit_on_main, settle_fit
from .metrics import HEADLINE, metric_names
from .precision import Choice, choose, kind_of
from .predictor import load
from .recipe import Recipe
from .recipe_json import recipe_to_dict
from .replay import replay_of
from .report import describe, environment, farewell, fit_line, loading_snippet, measure
from .results import RunResult, hub_sources
from .resume import remember
from .saving import save_model
from .scoring import compute_metrics
from .start import open_start
from .threads import use_idle_cores
from .trainer import TransferTrainer, frozen_modules

TOO_LARGE = (
    "note: the features are larger than the cache may be (HF_TRANSFER_CACHE_GB) or than half of the free disk; "
    "the frozen backbone runs in every epoch"
)


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal; the message says where its checkpoint is and how to go on."""


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
        recipe = replace(recipe, training={**recipe.training, **overrides})
        return _run(recipe, folder, name, state, resume, keep_checkpoints, trust_remote_code, start_from, dtype, terms)
    finally:
        if state.is_main_process:
            _tidy(folder)


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
        probe = isinstance(recipe.head, LinearHead) and recipe.strategy.frozen_depth(1) >= 1
        args = build_arguments(checkpoints, backbone.modality, recipe.training, metrics, probe)
        set_seed(args.seed)
        processor = source.processor(trust_remote_code)
        if start is None:
            model = build_model(source, recipe.head, labels, processor, trust_remote_code).to(args.device)
        else:
            model = start.build(recipe).to(args.device)
        depths = backbone.depths(model)
        blocks = max(depths.values()) - 1
        frozen = recipe.strategy.frozen_depth(blocks) >= blocks
        fit = settle_fit(recipe, frozen)
        backbone = _settle_augmentation(backbone, frozen)
        _refuse_for_frozen(args, frozen)
        recipe = replace(recipe, backbone=backbone, data=replace(recipe.data, **splits.columns))
        model = recipe.strategy.prepare(model, depths)
        replay = replay_of(model) if frozen else None
        dtypes = _choose_dtypes(recipe, model, replay, args.device, fit, dtype)
        if "train" in dtypes and dtypes["train"].dtype == "bfloat16" and not args.bf16:
            training = {**recipe.training, "bf16": True}
            args = build_arguments(checkpoints, backbone.modality, training, metrics, probe)
        resolved = recipe_to_dict(recipe)
        if state.is_main_process:
            settings = {"dtypes": {k: c.dtype for k, c in dtypes.items()}, "start_from": start and start.record}
            remember(checkpoints, {**resolved, **settings}, resume)
        state.wait_for_everyone()
    parameters = {
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in model.parameters()),
    }
    for line in describe(name, recipe, splits, parameters, fit, dtypes):
        say(line)

    work, collate = checkpoints / "work", collator(backbone, processor)
    with clock("tokenise" if backbone.modality == "text" else "load"), state.local_main_process_first():
        encoded = {
            "train": encode(backbone, processor, splits.train, work, training=not frozen),
            "validation": encode(backbone, processor, splits.validation, work),
        }
    trained, recorded = model, None
    if frozen:
        with clock("features"):
            precision = getattr(torch, dtypes["features"].dtype)
            recorded = record_splits(
                model, replay, backbone, processor, encoded, splits.contents, precision, state, checked=dtype == "auto"
            )
        if recorded is not None:
            if recorded.dtype != dtypes["features"].dtype:
                reason = f"bfloat16 moves these features to cosine {recorded.cosine:.4f}, below 0.999"
                dtypes["features"] = Choice(recorded.dtype, reason)
                say(f"note: features: {recorded.dtype}; {reason}")
            encoded, trained, collate = recorded.splits, replay, collate_features
        else:
            say(TOO_LARGE)
            fit = _descend(recipe, fit)

    objective = recipe.objective.build(labels.problem_type, labels.class_weights, args.label_smoothing_factor)
    with clock("train"):
        if fit == "lbfgs":
            fitted = fit_on_main(state, replay.linear, lambda: _solve(replay.linear, encoded, objective, recipe.head))
            say(fit_line(fitted))
        else:
            fitted = _descent(trained, args, encoded, collate, objective, recipe, labels, headline, frozen, resume)

    if state.is_main_process:
        staging = folders.staging(folder)
        with clock("save"):
            save_model(recipe.strategy.finish(model), processor, resolved, staging)
        with clock("evaluate"):
            measured = measure(load(staging, trust_remote_code), splits, recipe.metrics, headline)
        sources = hub_sources(resolved)
        base = start.record if start else {"source": backbone.checkpoint, "revision": backbone.revision}
        on_hub = start.commit is not None if start else sources["base_model"] is not None
        inherited, remarks = inherited_terms(base["source"], base["revision"], on_hub, *terms)
        for line in remarks:
            say(f"note: {line}")
        seconds = clock.seconds()
        computed = recorded.computed if recorded else 0
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
                "fit": {name: value for name, value in fitted.items() if name != "history"},
                "history": fitted.get("history", []),
                "timing": seconds,
                "throughput": {
                    "features_per_s": round(computed / seconds["features_s"], 1) if computed else None,
                    "train_samples_per_s": fitted.get("samples_per_s"),
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
        say(f"\n{result.table()}\n\n{farewell(folder, backbone.modality)}")
    state.wait_for_everyone()
    return RunResult.load(folder)


def _descent(model, args, splits, collate, objective, recipe, labels, headline, frozen, resume) -> dict:
    """Train `model` by gradient descent, from its last checkpoint when resumed.

    Raises:
        `Interrupted`: by a signal; its checkpoint is whole.
    """
    folder, stop = Path(args.output_dir).parent, StopOnSignal()
    trainer = TransferTrainer(
        model=model,
        args=args,
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        data_collator=collate,
        compute_metrics=lambda output: compute_metrics(
            output.predictions, output.label_ids, labels.problem_type, recipe.metrics
        ),
        callbacks=[Progress((headline[0], "macro_f1", "loss")), stop],
        objective=objective,
        frozen=frozen_modules(model) if frozen else (),
    )
    trainer.remove_callback(PrinterCallback)
    last = folders.last_checkpoint(folder) if resume else None
    try:
        outcome = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    finally:
        stop.restore()
    if stop.stopped:
        raise Interrupted(
            f"stopped; the checkpoint is in {folders.last_checkpoint(folder)}. To go on, give the same command with "
            f"--output_dir {folder} --resume"
        )
    return {
        "fit": "sgd",
        "samples_per_s": round(outcome.metrics["train_samples_per_second"], 1),
        "best_step": trainer.state.best_global_step if args.load_best_model_at_end else None,
        "history": history_of(trainer.state.log_history),
    }


def _solve(layer, splits, objective, head) -> dict:
    """Fit a linear head on recorded vectors by L-BFGS."""
    train, validation = splits["train"], splits["validation"]
    vectors, held_out = train.arrays["pooled"], validation.arrays["pooled"]
    return fit_linear(layer, vectors, train.labels, held_out, validation.labels, objective, head.l2)


def _descend(recipe, fit: str) -> str:
    """Without recorded features there is nothing for the quasi-Newton fit to read."""
    if fit == "lbfgs" and recipe.head.fit == "lbfgs":
        raise UserError(f"head.fit is 'lbfgs', but {TOO_LARGE.removeprefix('note: ')}; set head.fit to sgd")
    return "sgd"


def _choose_dtypes(recipe, model, replay, device, fit: str, asked: str) -> dict[str, Choice]:
    """Choose the precision of extraction and of gradient descent; an L-BFGS fit is float32 by nature.

    `bf16` or `fp16` among the recipe's training fields settles training.
    """
    named = next((field for field in ("bf16", "fp16") if recipe.training.get(field)), None)
    if named and asked != "auto":
        raise UserError(f"--dtype {asked} and training.{named} both say how to train; give only one of them")
    chosen = {}
    if replay is not None:
        kind, size = kind_of(model)
        # An embedding matrix is only looked up: nothing is computed that could be faster.
        wanted = "float32" if kind == "embeddings" else asked
        chosen["features"] = choose("features", kind, size, device, wanted)
    if named:
        chosen["train"] = Choice({"bf16": "bfloat16", "fp16": "float16"}[named], f"training.{named}")
    elif fit == "sgd":
        kind, size = kind_of(model if replay is None else replay)
        chosen["train"] = choose("train", kind, size, device, asked)
        if kind == "pooled" and asked == "auto":
            chosen["train"] = Choice("float32", "a head on recorded vectors trains in seconds either way")
    return chosen


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
    if folders.last_checkpoint(folder) is None:
        shutil.rmtree(folder / folders.CHECKPOINTS, ignore_errors=True)
        folders.give_back(folder)


def _refuse_for_frozen(args, frozen: bool) -> None:
    """Settings that act inside the backbone would do nothing on its recorded outputs."""
    for field in ("activation_checkpointing", "gradient_checkpointing", "neftune_noise_alpha"):
        if frozen and getattr(args, field):
            raise UserError(f"training.{field} acts on a backbone that trains; with FrozenFeatures leave it out")


def _settle_augmentation(backbone, frozen: bool):
    if backbone.modality != "image":
        return backbone
    if frozen and backbone.augmentation not in ("auto", "none"):
        raise UserError(
            f"backbone.augmentation is {backbone.augmentation!r} but strategy FrozenFeatures computes each image's "
            "features once; set backbone.augmentation to none, or use FullFineTune"
        )
    settled = "none" if frozen else "crop_flip"
    return replace(backbone, augmentation=settled if backbone.augmentation == "auto" else backbone.augmentation)
