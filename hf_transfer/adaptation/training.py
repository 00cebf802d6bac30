"""One stage of a training on two domains: from a model and rows of both to a model that has learnt."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from accelerate.state import AcceleratorState
from torch.utils.data import Dataset

from .. import folders
from ..callbacks import Progress
from ..data import labels_of
from ..data.domains import Domains
from ..features.dataset import collate_features
from ..inputs import collator, encode
from ..linear.fit import fit_linear, fit_on_main
from ..metrics import HEADLINE
from ..objective_context import objective_context
from ..objectives.domain.base import DomainObjective
from ..objectives.step_loss import build_objective
from ..replay import replay_of
from ..report import fit_line
from ..scoring import compute_metrics
from ..taps import last_layer
from ..training import Ground, descend, record_features
from .features import record_domains
from .rows import DomainCollator, DomainRows, Weighted
from .trainer import AdaptationTrainer
from .weighting import weigh


@dataclass(frozen=True)
class Learning:
    """What a stage learns from.

    Args:
        parts (`dict[str, Dataset]`): encoded or recorded rows: `"train"` of the source, `"target"`, and `"chosen"`,
            those that choose the model.
        weights (`dict[str, np.ndarray]`): of the rows of each part in the loss; 0 for a target row without a label.
        labels (`dict[str, np.ndarray]`): of each part; -100 for none.
        pools (`list[np.ndarray]`): see [`DomainBatches`]; empty where the target is not read.
        shares (`np.ndarray`): of the source's rows: their class weights.
    """

    parts: dict[str, Dataset]
    weights: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    pools: list[np.ndarray]
    shares: np.ndarray


def train_stage(plan, model, ground: Ground, head_learnt: bool = False) -> tuple[torch.nn.Module, dict]:
    """Train `model` as `plan` says on rows of both domains.

    Returns:
        The model, and what is to be told of the stage; see [`training.train_stage`]; beside it `selection`, which rows
        chose the model, and `weighting`, what the weights of the source rows are like.

    Raises:
        `UserError`: features that are too large to be recorded.
        `Interrupted`: by a signal; the checkpoint is whole.
    """
    recipe, backbone, order = plan.recipe, plan.recipe.backbone, ground.order
    model = recipe.strategy.prepare(model, backbone.depths(model))
    depths = backbone.depths(model)
    replay = replay_of(model) if plan.frozen else None
    work = order.folder / folders.CHECKPOINTS / "work"
    names = parts_of(plan, ground.splits)
    with order.clock("load" if backbone.modality == "image" else "tokenise"), order.state.local_main_process_first():
        encoded = {
            name: encode(backbone, ground.processor, rows, work, plan.augmentation_seed if name in TRAINED else None)
            for name, rows in names.items()
        }
    recording = record_domains(plan, model, replay, encoded, ground, partial(record_features, plan))
    weighting = weigh(plan, recording, ground)
    trained, collate = model, collator(backbone, ground.processor)
    if plan.frozen:
        encoded, trained, collate = recording.moved(recipe.data.align), replay, collate_features
    learning = put_together(plan, encoded, weighting, ground.splits)
    context = objective_context(plan, model, depths, ground.processor, ground.splits, work, head_learnt)
    objective = build_objective(
        recipe.objective,
        ground.splits.labels.problem_type,
        ground.splits.labels.class_weights,
        plan.args.label_smoothing_factor,
        context._replace(feature_width=_width(trained)),
    )
    with order.clock("train"):
        if plan.fit == "lbfgs":
            solve = partial(_solve, replay.linear, learning, objective.task, recipe.head)
            told = fit_on_main(order.state, replay.linear, solve)
            order.say(fit_line(told))
        else:
            told = _descent(plan, trained, depths, learning, collate, objective, ground)
    recording.take_target_statistics()
    return recipe.strategy.finish(model), {
        "strategy": type(recipe.strategy).__name__,
        **told,
        "selection": _selection(recipe.data, ground.splits),
        **({"weighting": weighting.told} if weighting is not None else {}),
        "computed": recording.computed,
        "dtypes": plan.phases,
    }


TRAINED = ("train", "target")  # the parts that images are augmented in


def parts_of(plan, splits) -> dict:
    """Return the rows that a stage reads, by name; of one domain `train` and `validation` alone."""
    rows = {"train": splits.train, "validation": splits.validation}
    if isinstance(splits, Domains) and _reads_target(plan, splits):
        rows["target"] = splits.target
    if isinstance(splits, Domains) and splits.held_out is not None:
        rows["held_out"] = splits.held_out
    return rows


def _reads_target(plan, splits: Domains) -> bool:
    data = plan.recipe.data
    compares = any(isinstance(one, DomainObjective) for one in plan.recipe.objectives)
    others = data.weights is not None or data.align != "none" or data.adapt_batch_norm
    return compares or others or len(splits.labelled) > 0


def _selection(data, splits) -> str:
    """Which rows choose the model: source, weighted or target."""
    if data.selection in ("source", "weighted"):
        return data.selection
    return "target" if getattr(splits, "held_out", None) is not None else "source"


def put_together(plan, parts: dict, weighting, splits) -> Learning:
    """Give every row its weight and its label, and say which target rows the batches draw from.

    A labelled target row weighs so much that a batch's sum of them is `target_weight` times that of its source rows:
    in a batch the labelled ones are all of the target rows, or one half.
    """
    data, labels = plan.recipe.data, {"train": labels_of(splits.train)}
    of_class = splits.labels.class_weights
    of_class = np.ones(splits.labels.num_labels) if of_class is None else np.asarray(of_class)
    shares = of_class[labels["train"]]
    weights = {"train": shares}
    if weighting is not None:
        weights["train"] = weights["train"] * weighting.train
    selection = _selection(data, splits)
    chosen = parts["held_out" if selection == "target" else "validation"]
    parts = {**parts, "chosen": chosen}
    labels["chosen"] = labels_of(getattr(splits, "held_out" if selection == "target" else "validation"))
    if selection == "weighted":
        weights["chosen"] = of_class[labels["chosen"]] * weighting.validation
    elif plan.fit == "lbfgs" and splits.labels.class_weights is not None:  # in descent the objective has them
        weights["chosen"] = of_class[labels["chosen"]]
    pools: list[np.ndarray] = []
    if "target" in parts:
        labels["target"] = labels_of(splits.target)
        known = labels["target"] >= 0
        compares = any(isinstance(one, DomainObjective) for one in plan.recipe.objectives)
        places = np.arange(len(known)) + len(labels["train"])
        pools = [places[known], places[~known]] if compares else [places[known]]
        pools = [pool for pool in pools if len(pool)]
        factor = data.target_weight
        if plan.fit == "lbfgs":  # all rows at once
            factor *= len(labels["train"]) / max(1, known.sum())
        else:
            factor *= len(pools)
        weights["target"] = np.where(known, factor * of_class[np.maximum(labels["target"], 0)], 0.0)
    return Learning(parts, weights, labels, pools, shares)


def _width(model) -> int:
    layer = last_layer(model)
    return layer.in_features if hasattr(layer, "in_features") else layer.in_channels


def _solve(layer, learning: Learning, objective, head) -> dict:
    """Fit a linear head on recorded vectors of the source, and of the target where it has labels, by L-BFGS."""
    vectors, labels = [learning.parts["train"].vectors()], [learning.labels["train"]]
    weights = [learning.weights["train"]]
    if "target" in learning.labels and (learning.labels["target"] >= 0).any():
        known = learning.labels["target"] >= 0
        vectors.append(learning.parts["target"].vectors()[known])
        labels.append(learning.labels["target"][known])
        weights.append(learning.weights["target"][known])
    weights = np.concatenate(weights)
    objective = replace_class_weights(objective)
    return fit_linear(
        layer,
        np.concatenate(vectors),
        np.concatenate(labels),
        learning.parts["chosen"].vectors(),
        learning.labels["chosen"],
        objective,
        head.l2,
        train_weights=weights,
        validation_weights=learning.weights.get("chosen"),
    )


def replace_class_weights(objective):
    """The same loss without class weights, which the weights of the rows hold already."""
    from ..objectives.supervised_loss import SupervisedLoss

    return SupervisedLoss(objective.problem_type, None, objective.label_smoothing, objective.focal_gamma)


def _descent(plan, model, depths, learning: Learning, collate, objective, ground: Ground) -> dict:
    """Train `model` by gradient descent."""
    # A stage before may have trained in another precision, and Accelerate keeps the first for the whole process.
    AcceleratorState._reset_state()
    names = ("train", "target") if learning.pools else ("train",)
    kind, whole = ground.splits.labels.problem_type, not plan.frozen
    trainer = AdaptationTrainer(
        model=model,
        args=plan.args,
        train_dataset=DomainRows(
            [learning.parts[name] for name in names],
            [learning.labels[name] for name in names],
            [learning.weights[name] for name in names],
            learning.shares,
        ),
        eval_dataset=Weighted(learning.parts["chosen"], learning.weights.get("chosen")),
        data_collator=DomainCollator(collate),
        pools=learning.pools,
        compute_metrics=lambda output: compute_metrics(
            output.predictions, output.label_ids, kind, plan.recipe.metrics
        ),
        callbacks=[Progress((HEADLINE[kind][0], "macro_f1", "loss"))],
        objective=objective,
        # On recorded features there is only the head, under other names.
        strategy=plan.recipe.strategy if whole else None,
        depths=depths if whole else None,
    )
    return descend(trainer, plan, ground)
