"""One stage of a training: from a model and rows to a model that has learnt."""

from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from transformers import PrinterCallback, set_seed

from . import folders
from .callbacks import Progress, StopOnSignal
from .errors import UserError
from .features.budget import Probe
from .features.dataset import collate_features
from .features.fused import record_parts
from .features.splits import record_splits
from .history import history_of
from .inputs import collator, encode
from .linear.fit import fit_linear, fit_on_main
from .metrics import HEADLINE
from .objective_context import objective_context
from .objectives.step_loss import build_objective
from .order import Order
from .precision import Choice
from .replay import replay_of
from .report import fit_line
from .resume import finish, finished, load_finished
from .scoring import compute_metrics
from .strategies import Contrastive
from .trainer import TransferTrainer

TOO_LARGE = (
    "note: the features are larger than the cache may be (HF_TRANSFER_CACHE_GB) or than half of the free disk; "
    "the frozen backbone runs in every epoch"
)
MANY_PAIRS = 20_000  # minutes on a CPU for a small encoder


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal; the message says where its checkpoint is and how to go on."""


@dataclass(frozen=True)
class Ground:
    """What all stages of a run share.

    Args:
        order (`Order`): where the run goes, and how it was asked for.
        processor: the tokenizer or image processor.
        splits (`Splits`): labelled rows.
        head_learnt (`bool`): whether the head knows these very labels before the first stage.
    """

    order: Order
    processor: object
    splits: object
    head_learnt: bool


def train_stages(plans, model, ground: Ground, train=None) -> tuple[torch.nn.Module, list[dict]]:
    """Train stage after stage, going on behind those that a resumed run has finished.

    Args:
        train (`Callable`, *optional*): trains one stage; by default [`train_stage`].

    Returns:
        The model after the last one, and what [`train_stage`] tells of each.
    """
    told, train = [], train or train_stage
    if ground.order.probe_budget and not any(plan.frozen for plan in plans):
        ground.order.say("note: --probe_budget sizes the batches of a frozen backbone, and no stage has one")
    for number, plan in enumerate(plans):
        if len(plans) > 1:
            ground.order.say(f"stage {number + 1} of {len(plans)}: {type(plan.recipe.strategy).__name__}")
            AcceleratorState._reset_state()  # each stage has a precision of its own
            set_seed(plan.args.seed)  # so that what follows does not depend on where a run was resumed
        before = finished(plan.folder) if ground.order.resume else None
        if before is None:
            model, outcome = train(plan, model, ground, head_learnt=ground.head_learnt or number > 0)
            if plan is not plans[-1]:
                finish(plan.folder, model, outcome, ground.order.state)
        else:
            outcome = before
            load_finished(plan.folder, model)
            ground.order.say("  finished before")
        told.append(outcome)
    return model, told


def train_stage(plan, model, ground: Ground, head_learnt: bool = False) -> tuple[torch.nn.Module, dict]:
    """Train `model` as `plan` says; `plan.dtypes["features"]` may change to what was found.

    Args:
        head_learnt (`bool`): whether the head knows these very labels from a training before.

    Returns:
        The model, and what is to be told of the stage: `fit` (`"sgd"` or `"lbfgs"`), its figures, `computed`, the rows
        whose features were computed now, and `dtypes`, the precision of each phase as it was in the end.

    Raises:
        `Interrupted`: by a signal; the checkpoint is whole.
    """
    recipe, backbone, splits, state = plan.recipe, plan.recipe.backbone, ground.splits, ground.order.state
    model = recipe.strategy.prepare(model, backbone.depths(model))
    depths = backbone.depths(model)  # a strategy may have renamed what it wrapped
    replay = replay_of(model) if plan.frozen else None
    # Beside the checkpoints of all stages: what was encoded for one serves the next.
    work, collate = ground.order.folder / folders.CHECKPOINTS / "work", collator(backbone, ground.processor)
    with ground.order.clock("load" if backbone.modality == "image" else "tokenise"), state.local_main_process_first():
        encoded = {
            "train": encode(backbone, ground.processor, splits.train, work, plan.augmentation_seed),
            "validation": encode(backbone, ground.processor, splits.validation, work),
        }
    trained, recorded, fit = model, None, plan.fit
    if plan.frozen:
        recorded = record_features(plan, model, replay, encoded, ground)
        if recorded is not None:
            encoded, trained, collate = recorded.splits, replay, collate_features
        else:
            ground.order.say(TOO_LARGE)
            fit = _descend(recipe, fit)

    labels = splits.labels
    if isinstance(recipe.strategy, Contrastive):
        with ground.order.clock("train"):
            told = _contrast(plan, model, encoded["train"], collate, ground)
        return model, {"strategy": type(recipe.strategy).__name__, **told, "computed": 0, "dtypes": plan.phases}
    objective = build_objective(
        recipe.objective,
        labels.problem_type,
        labels.class_weights,
        plan.args.label_smoothing_factor,
        objective_context(plan, model, depths, ground.processor, splits, work, head_learnt),
    )
    with ground.order.clock("train"):
        if fit == "lbfgs":
            told = fit_on_main(
                state, replay.linear, lambda: _solve(replay.linear, encoded, objective.task, recipe.head)
            )
            ground.order.say(fit_line(told))
        else:
            told = _descent(plan, trained, depths, encoded, collate, objective, ground)
    computed = recorded.computed if recorded else 0
    return recipe.strategy.finish(model), {
        "strategy": type(recipe.strategy).__name__,
        **told,
        "computed": computed,
        "dtypes": plan.phases,
    }


def record_features(plan, model, replay, encoded, ground: Ground):
    """Record what `replay` reads of every split; `None` where that is larger than the cache may be."""
    if hasattr(plan.recipe.backbone, "parts"):
        return _record_parts(plan, model, replay, encoded, ground)
    with ground.order.clock("features"):
        recorded = record_splits(
            model,
            replay,
            plan.recipe.backbone,
            ground.processor,
            encoded,
            ground.splits.contents,
            getattr(torch, plan.dtypes["features"].dtype),
            ground.order.state,
            ground.order.dtype == "auto",
            _probe(ground.order),
        )
    if recorded is not None:
        _note_dtype(plan, "features", recorded, ground)
    return recorded


def _probe(order: Order) -> Probe | None:
    return Probe(order.state, order.say, order.budgets) if order.probe_budget else None


def _contrast(plan, model, rows, collate, ground: Ground) -> dict:
    """Train the encoder of `model` on pairs of rows."""
    from .contrast import ContrastiveTrainer  # needs an extra

    if ground.splits.labels.problem_type != "single_label_classification":
        raise UserError(
            f"strategy Contrastive needs one class per row, and the task is {ground.splits.labels.problem_type}; "
            "use FrozenFeatures or FullFineTune"
        )
    stop = StopOnSignal()
    trainer = ContrastiveTrainer(plan, model, rows, collate, [Progress(()), stop])
    pairs, each = len(trainer.train_dataset), plan.recipe.strategy.pairs_per_row
    ground.order.say(f"  {pairs:,} pairs of {len(rows):,} rows: {each} of its own class and {each} of others for each")
    if pairs > MANY_PAIRS:
        ground.order.say("  note: so many take long; --data.train_per_class 64 takes fewer rows")
    return {"fit": "contrastive", "pairs": pairs, **to_the_end(trainer, stop, plan.folder, ground.order)}


def _record_parts(plan, model, replay, encoded, ground: Ground):
    """The same for a fused backbone, part by part."""
    backbone, contents, order = plan.recipe.backbone, ground.splits.contents, ground.order
    dtypes = {name: getattr(torch, plan.dtypes[f"features of {name}"].dtype) for name in backbone.parts}
    with order.clock("features"):
        recorded = record_parts(
            model,
            replay,
            backbone,
            ground.processor,
            encoded,
            contents,
            dtypes,
            order.state,
            order.dtype == "auto",
            _probe(order),
        )
    for name, one in recorded.parts.items() if recorded else ():
        _note_dtype(plan, f"features of {name}", one, ground)
    return recorded


def _note_dtype(plan, phase: str, recorded, ground: Ground) -> None:
    """Say where features were computed in another precision than planned."""
    if recorded.dtype != plan.dtypes[phase].dtype:
        reason = f"bfloat16 moves these features to cosine {recorded.cosine:.4f}, below 0.999"
        plan.dtypes[phase] = Choice(recorded.dtype, reason)
        ground.order.say(f"note: {phase}: {recorded.dtype}; {reason}")


def _descent(plan, model, depths, encoded, collate, objective, ground: Ground) -> dict:
    """Train `model` by gradient descent."""
    labels = ground.splits.labels
    whole = not plan.frozen
    # A stage before may have trained in another precision, and Accelerate keeps the first for the whole process.
    AcceleratorState._reset_state()
    trainer = TransferTrainer(
        model=model,
        args=plan.args,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        data_collator=collate,
        compute_metrics=lambda output: compute_metrics(
            output.predictions, output.label_ids, labels.problem_type, plan.recipe.metrics
        ),
        callbacks=[Progress((HEADLINE[labels.problem_type][0], "macro_f1", "loss"))],
        objective=objective,
        # On recorded features there is only the head, under other names.
        strategy=plan.recipe.strategy if whole else None,
        depths=depths if whole else None,
    )
    return descend(trainer, plan, ground)


def descend(trainer: TransferTrainer, plan, ground: Ground) -> dict:
    """Run gradient descent, from the last checkpoint when resumed, and return what is to be told of it.

    Raises:
        `Interrupted`: by a signal; the checkpoint is whole.
    """
    stop = StopOnSignal()
    trainer.add_callback(stop)
    for line in trainer.group_lines():
        ground.order.say(line)
    told = to_the_end(trainer, stop, plan.folder, ground.order)
    best = trainer.state.best_global_step if plan.args.load_best_model_at_end else None
    return {"fit": "sgd", **told, "best_step": best}


def to_the_end(trainer, stop: StopOnSignal, folder: Path, order: Order) -> dict:
    """Let a trainer do its work, from its last checkpoint in `folder` when resumed, and return its figures.

    Raises:
        `Interrupted`: by a signal; the checkpoint is whole.
    """
    trainer.remove_callback(PrinterCallback)
    last = folders.newest_checkpoint(folder) if order.resume else None
    try:
        outcome = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    finally:
        stop.restore()
        trainer.let_go()
    if stop.stopped:
        raise Interrupted(
            f"stopped; the checkpoint is in {folders.newest_checkpoint(folder)}. To go on, give the same command "
            f"with --output_dir {order.folder} --resume"
        )
    return {
        "samples_per_s": round(outcome.metrics["train_samples_per_second"], 1),
        "history": history_of(trainer.state.log_history),
    }


def _solve(layer, splits, objective, head) -> dict:
    """Fit a linear head on recorded vectors by L-BFGS."""
    train, validation = splits["train"], splits["validation"]
    vectors, held_out = train.arrays["pooled"], validation.arrays["pooled"]
    return fit_linear(
        layer, vectors, train.labels, held_out, validation.labels, objective, head.l2, widths=train.widths
    )


def _descend(recipe, fit: str) -> str:
    """Without recorded features there is nothing for the quasi-Newton fit to read."""
    if fit == "lbfgs" and recipe.head.fit == "lbfgs":
        raise UserError(f"head.fit is 'lbfgs', but {TOO_LARGE.removeprefix('note: ')}; set head.fit to sgd")
    return "sgd"
