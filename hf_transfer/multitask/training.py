"""One stage of a mixture's training: from the joint model and the rows of every task to a model that has learnt."""

from dataclasses import replace
from functools import partial

from torch import nn

from .. import folders
from ..callbacks import Progress
from ..features.dataset import collate_features
from ..inputs import collator, encode
from ..replay import replay_of
from ..scoring import compute_metrics
from ..training import TOO_LARGE, Ground, descend, record_features
from .dataset import JoinedTasks, OneTask, TaskCollator
from .objective import mixture_loss, shared_context
from .tasks import MEAN, SCORE, task_metrics
from .trainer import MixtureTrainer


class Replays(nn.Module):
    """The heads of all tasks, each fed with what was recorded for it.

    Args:
        config (`PreTrainedConfig`): of the joint model.
        replays (`dict[str, nn.Module]`): by task, what [`replay_of`] returned.
    """

    def __init__(self, config, replays: dict[str, nn.Module]):
        super().__init__()
        self.config, self.names, self.replays = config, list(replays), nn.ModuleList(replays.values())

    def forward(self, task: str, **inputs):
        return self.replays[self.names.index(task)](**inputs)


def train_stage(plan, model, ground: Ground, head_learnt: bool = False) -> tuple[nn.Module, dict]:
    """Train `model` as `plan` says; see [`training.train_stage`]. `ground.splits` holds those of each task.

    Returns:
        The model, and what is to be told of the stage; `task_weights` are the factors as they were in the end.
    """
    recipe, backbone, splits = plan.recipe, plan.recipe.backbone, ground.splits
    model = recipe.strategy.prepare(model, backbone.depths(model))
    depths = backbone.depths(model)  # a strategy may have renamed what it wrapped
    encoded = _encode(plan, ground)
    trained, rows, computed = model, encoded, 0
    collate = dict.fromkeys(splits, collator(backbone, ground.processor))
    if plan.frozen:
        found = _record(plan, model, encoded, ground)
        if found is None:
            ground.order.say(TOO_LARGE)
        else:
            trained, rows, computed = found
            collate = dict.fromkeys(splits, collate_features)
    labels = {task: one.labels for task, one in splits.items()}
    context = shared_context(plan, model, depths)
    objective = mixture_loss(recipe, labels, plan.args.label_smoothing_factor, context)
    with ground.order.clock("train"):
        told = _descent(plan, trained, depths, rows, TaskCollator(collate), objective, ground)
    return recipe.strategy.finish(model), {
        "strategy": type(recipe.strategy).__name__,
        **told,
        "task_weights": objective.weights,
        "computed": computed,
        "dtypes": plan.phases,
    }


def _encode(plan, ground: Ground) -> dict:
    """Return the encoded train and validation rows of each task."""
    backbone, order = plan.recipe.backbone, ground.order
    work = order.folder / folders.CHECKPOINTS / "work"
    step = "tokenise" if backbone.modality == "text" else "load"
    with order.clock(step), order.state.local_main_process_first():
        return {
            task: {
                "train": encode(backbone, ground.processor, one.train, work, plan.augmentation_seed),
                "validation": encode(backbone, ground.processor, one.validation, work),
            }
            for task, one in ground.splits.items()
        }


def _record(plan, model, encoded: dict, ground: Ground):
    """Record what each head reads of its rows; `None` where that is larger than the cache may be.

    Returns:
        The heads on their recordings, the recorded rows of each task, and how many were computed now.
    """
    replays, rows, computed = {}, {}, 0
    for task, parts in encoded.items():
        view = model.single(task)
        replays[task] = replay_of(view)
        ground.order.say(f"  features of {task}")
        recorded = record_features(plan, view, replays[task], parts, replace(ground, splits=ground.splits[task]))
        if recorded is None:
            return None
        rows[task] = recorded.splits
        computed += recorded.computed
    return Replays(model.config, replays), rows, computed


def _descent(plan, model, depths, rows: dict, collate, objective, ground: Ground) -> dict:
    kinds = {task: one.labels.problem_type for task, one in ground.splits.items()}
    whole = not isinstance(model, Replays)
    trainer = MixtureTrainer(
        model=model,
        args=plan.args,
        train_dataset=JoinedTasks({task: parts["train"] for task, parts in rows.items()}),
        eval_dataset={task: OneTask(task, parts["validation"]) for task, parts in rows.items()},
        data_collator=collate,
        mixture=plan.recipe.data,
        measure={
            task: partial(_measure, kind=kind, metrics=task_metrics(plan.recipe.metrics, kind))
            for task, kind in kinds.items()
        },
        scores={task: SCORE[kind] for task, kind in kinds.items()},
        callbacks=[Progress((MEAN, *(f"{task}_{SCORE[kind]}" for task, kind in kinds.items()), "loss"))],
        objective=objective,
        strategy=plan.recipe.strategy if whole else None,
        depths=depths if whole else None,
    )
    return descend(trainer, plan, ground)


def _measure(output, kind: str, metrics) -> dict[str, float]:
    return compute_metrics(output.predictions, output.label_ids, kind, metrics)
