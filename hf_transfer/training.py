"""One stage of a training: from a model and rows to a model that has learnt."""

from dataclasses import dataclass

import torch
from transformers import PrinterCallback, set_seed

from . import folders
from .callbacks import Progress, StopOnSignal
from .errors import UserError
from .features.dataset import collate_features
from .features.splits import record_splits
from .groups import group_lines
from .history import history_of
from .inputs import collator, encode
from .linear_fit import fit_linear, fit_on_main
from .metrics import HEADLINE
from .objective_context import objective_context
from .objectives.step_loss import build_objective
from .order import Order
from .precision import Choice
from .replay import replay_of
from .report import fit_line
from .resume import finish, finished, load_finished
from .scoring import compute_metrics
from .trainer import TransferTrainer

TOO_LARGE = (
    "note: the features are larger than the cache may be (HF_TRANSFER_CACHE_GB) or than half of the free disk; "
    "the frozen backbone runs in every epoch"
)


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


def train_stages(plans, model, ground: Ground) -> tuple[torch.nn.Module, list[dict]]:
    """Train stage after stage, going on behind those that a resumed run has finished.

    Returns:
        The model after the last one, and what [`train_stage`] tells of each.
    """
    told = []
    for number, plan in enumerate(plans):
        if len(plans) > 1:
            ground.order.say(f"stage {number + 1} of {len(plans)}: {type(plan.recipe.strategy).__name__}")
            set_seed(plan.args.seed)  # so that what follows does not depend on where a run was resumed
        before = finished(plan.folder) if ground.order.resume else None
        if before is None:
            model, outcome = train_stage(plan, model, ground, head_learnt=ground.head_learnt or number > 0)
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
    with ground.order.clock("tokenise" if backbone.modality == "text" else "load"), state.local_main_process_first():
        encoded = {
            "train": encode(backbone, ground.processor, splits.train, work, training=not plan.frozen),
            "validation": encode(backbone, ground.processor, splits.validation, work),
        }
    trained, recorded, fit = model, None, plan.fit
    if plan.frozen:
        recorded = _record(plan, model, replay, encoded, ground)
        if recorded is not None:
            encoded, trained, collate = recorded.splits, replay, collate_features
        else:
            ground.order.say(TOO_LARGE)
            fit = _descend(recipe, fit)

    labels = splits.labels
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


def _record(plan, model, replay, encoded, ground: Ground):
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
        )
    if recorded is not None and recorded.dtype != plan.dtypes["features"].dtype:
        reason = f"bfloat16 moves these features to cosine {recorded.cosine:.4f}, below 0.999"
        plan.dtypes["features"] = Choice(recorded.dtype, reason)
        ground.order.say(f"note: features: {recorded.dtype}; {reason}")
    return recorded


def _descent(plan, model, depths, encoded, collate, objective, ground: Ground) -> dict:
    """Train `model` by gradient descent, from its last checkpoint when resumed."""
    labels, stop = ground.splits.labels, StopOnSignal()
    whole = not plan.frozen
    trainer = TransferTrainer(
        model=model,
        args=plan.args,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        data_collator=collate,
        compute_metrics=lambda output: compute_metrics(
            output.predictions, output.label_ids, labels.problem_type, plan.recipe.metrics
        ),
        callbacks=[Progress((HEADLINE[labels.problem_type][0], "macro_f1", "loss")), stop],
        objective=objective,
        # On recorded features there is only the head, under other names.
        strategy=plan.recipe.strategy if whole else None,
        depths=depths if whole else None,
    )
    trainer.remove_callback(PrinterCallback)
    if trainer.groups:
        for line in group_lines(trainer.groups):
            ground.order.say(line)
    last = folders.newest_checkpoint(plan.folder) if ground.order.resume else None
    try:
        outcome = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    finally:
        stop.restore()
        trainer.let_go()
    if stop.stopped:
        raise Interrupted(
            f"stopped; the checkpoint is in {folders.newest_checkpoint(plan.folder)}. To go on, give the same command "
            f"with --output_dir {ground.order.folder} --resume"
        )
    return {
        "fit": "sgd",
        "samples_per_s": round(outcome.metrics["train_samples_per_second"], 1),
        "best_step": trainer.state.best_global_step if plan.args.load_best_model_at_end else None,
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
