"""`run(recipe, output_dir)`: the one straight path from a recipe to a trained, measured, saved model.

The file is not called run.py: a module of that name would hide the function in `from hf_transfer import run`.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import PrinterCallback, set_seed

from . import folders
from .arguments import build_arguments
from .assembly import build_model, checkpoint_label_names
from .callbacks import Progress, StopOnSignal
from .card import model_card
from .clock import Clock
from .data import load_data
from .errors import UserError
from .features import collate_features, record_features
from .inputs import collator, encode
from .metrics import HEADLINE, metric_names
from .predictor import load
from .recipe import Recipe, recipe_to_dict
from .replay import replay_of
from .report import describe, environment, farewell, loading_snippet, measure
from .results import RunResult, hub_sources
from .resume import remember
from .saving import save_model
from .scoring import compute_metrics
from .threads import use_idle_cores
from .trainer import TransferTrainer, frozen_modules


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
        trust_remote_code (`bool`): run the code that a checkpoint brings.
        overrides: fields of `TrainingArguments`; they win over the recipe's own.

    Returns:
        [`RunResult`]: the figures, and the folder with the model.

    Raises:
        `UserError`: one line about what is wrong and what is allowed; what `output_dir` held is still there.
        `Interrupted`: Ctrl-C; the checkpoint is complete.
    """
    state = PartialState()
    use_idle_cores(state.num_processes)
    folder = _claim(state, output_dir, name, resume, overwrite)
    try:
        recipe = replace(recipe, training={**recipe.training, **overrides})
        return _run(recipe, folder, name, state, resume, keep_checkpoints, trust_remote_code)
    finally:
        if state.is_main_process:
            _tidy(folder)


def _run(recipe, folder, name, state, resume, keep_checkpoints, trust_remote_code) -> RunResult:
    clock, backbone, checkpoints = Clock(), recipe.backbone, folder / folders.CHECKPOINTS
    say = print if state.is_main_process else (lambda *_, **__: None)

    with clock("load"):
        backbone.load_config(trust_remote_code)  # a checkpoint that cannot be had is told before the data are read
        order = checkpoint_label_names(backbone, recipe.head, trust_remote_code)
        splits = load_data(recipe.data, label_order=order, progress=state.is_main_process)
        labels, headline = splits.labels, HEADLINE[splits.labels.problem_type]
        metrics = metric_names(labels.problem_type, recipe.metrics)  # a wrong name is told now
        args = build_arguments(checkpoints, backbone.modality, recipe.training, metrics)
        set_seed(args.seed)
        processor = backbone.processor(trust_remote_code)
        model = build_model(backbone, recipe.head, labels, processor, trust_remote_code).to(args.device)
        depths = backbone.depths(model)
        blocks = max(depths.values()) - 1
        frozen = recipe.strategy.frozen_depth(blocks) >= blocks
        backbone = _settle_augmentation(backbone, frozen)
        _refuse_for_frozen(args, frozen)
        recipe = replace(recipe, backbone=backbone, data=replace(recipe.data, **splits.columns))
        model = recipe.strategy.prepare(model, depths)
        resolved = recipe_to_dict(recipe)
        if state.is_main_process:
            remember(checkpoints, resolved, resume)
        state.wait_for_everyone()
    parameters = {
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in model.parameters()),
    }
    for line in describe(name, recipe, splits, parameters):
        say(line)

    work = checkpoints / "work"
    collate = collator(backbone, processor)
    with clock("load"), state.local_main_process_first():
        train = encode(backbone, processor, splits.train, work, training=not frozen)
        validation = encode(backbone, processor, splits.validation, work)
    trained, recorded = model, 0
    if frozen:
        with clock("features"), state.local_main_process_first():
            replay = replay_of(model)
            features = [
                record_features(model, replay, rows, collate, work / f"{split}-features", f"features, {split}")
                for split, rows in (("train", train), ("validation", validation))
            ]
        if all(features):
            (train, validation), trained, collate = features, replay, collate_features
            recorded = len(train) + len(validation)
        else:
            say("note: the features are too large to keep; the frozen backbone runs in every epoch")

    stop = StopOnSignal()
    trainer = TransferTrainer(
        model=trained,
        args=args,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collate,
        compute_metrics=lambda output: compute_metrics(
            output.predictions, output.label_ids, labels.problem_type, recipe.metrics
        ),
        callbacks=[Progress((headline[0], "macro_f1", "loss")), stop],
        objective=recipe.objective.build(labels.problem_type, labels.class_weights, args.label_smoothing_factor),
        frozen=frozen_modules(trained) if frozen else (),
    )
    trainer.remove_callback(PrinterCallback)
    last = folders.last_checkpoint(folder) if resume else None
    with clock("train"):
        try:
            outcome = trainer.train(resume_from_checkpoint=None if last is None else str(last))
        finally:
            stop.restore()
    if stop.stopped:
        raise Interrupted(
            f"stopped; the checkpoint is in {folders.last_checkpoint(folder)}. To go on, give the same command with "
            f"--output_dir {folder} --resume"
        )

    if state.is_main_process:
        staging = folders.staging(folder)
        with clock("save"):
            save_model(recipe.strategy.finish(model), processor, resolved, staging)
        with clock("evaluate"):
            measured = measure(load(staging), splits, recipe.metrics, headline)
        seconds = clock.seconds()
        result = RunResult(
            output_dir=staging,
            recipe_name=name,
            recipe=resolved,
            data={
                "recipe": name,
                "checkpoint": backbone.checkpoint,
                "hub_sources": hub_sources(resolved),
                "revision": backbone.revision,
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
                "notes": list(splits.notes),
                "timing": seconds,
                "throughput": {
                    "features_per_s": round(recorded / seconds["features_s"], 1) if recorded else None,
                    "train_samples_per_s": round(outcome.metrics["train_samples_per_second"], 1),
                },
                "parameters": parameters,
                "environment": environment(args, state.num_processes),
                "training": dict(recipe.training),
                "files": sorted({path.name for path in staging.iterdir()} | {"README.md", "results.json"}),
            },
        )
        result.save()
        (staging / "README.md").write_text(model_card(result, loading_snippet(model, backbone)), encoding="utf-8")
        folders.publish(folder, keep_checkpoints)
        result.output_dir = folder
        say(f"\n{result.table()}\n\n{farewell(folder, backbone.modality)}")
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
