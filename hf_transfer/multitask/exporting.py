"""One task of a finished model of several, written as a model of its own."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import folders
from ..card import draw, model_card
from ..errors import UserError
from ..predictor import load
from ..report import loading_snippet
from ..results import RunResult
from ..saving import save_model
from ..task_results import is_mixture, task_result
from .joining import stand_alone
from .predictors import TaskPredictors

LIMIT = 1e-5  # of a logit; the same sums in the same order


@dataclass(frozen=True)
class ExportedTask:
    """A single-task model that was taken out of one of several.

    Args:
        folder (`Path`): loads like any other run's.
        kind (`str`): class of the model.
        difference (`float`): largest difference of its logits to those of the model it was taken from.
    """

    folder: Path
    kind: str
    difference: float


def export_task(
    folder: str | os.PathLike, task: str, output: str | os.PathLike | None = None, overwrite: bool = False
) -> ExportedTask:
    """Write one task of a finished run as a single-task model, with its results and a card.

    A text model with a `NativeHead` becomes the stock `XForSequenceClassification`, an image model with its own last
    layer the stock `TimmWrapperForImageClassification`; other heads stay `TransferFor...`.

    Args:
        folder (`str`): the output folder of a run whose data was a `TaskMixture`.
        task (`str`): its name.
        output (`str`, *optional*): folder to write; by default `folder/tasks/TASK`.
        overwrite (`bool`): replace the export in `output`; other files there stay.

    Returns:
        [`ExportedTask`]: where it is, and how far its logits are from those of the model of all tasks.

    Raises:
        `UserError`: `folder` holds no such model or no such task, or `output` is not empty.
    """
    source, predictors = RunResult.load(folder), load(folder)
    if not is_mixture(source) or not isinstance(predictors, TaskPredictors):
        raise UserError(f"{folder} is a model of one task already; --task takes one out of several")
    result, predictor = task_result(source, task), predictors[task]
    result.recipe = _recipe_alone(result.recipe, predictor.recipe.metrics)
    target = Path(output) if output is not None else Path(folder) / "tasks" / task
    folders.claim(target, False, overwrite)
    model = stand_alone(predictors.model, task)
    staging = folders.staging(target)
    result.output_dir = staging
    save_model(model, predictor.processor, result.recipe, staging)
    difference = _difference(predictor, load(staging))
    if not difference <= LIMIT:
        raise UserError(f"task {task}: the exported model's logits differ by {difference:.1e}; nothing was written")
    result.data |= {"exported_from": {"tasks": list(source.data["tasks"]), "task": task}, "pictures": {}}
    result.data["pictures"] = draw(result, staging)
    result.data["files"] = sorted({path.name for path in staging.iterdir()} | {"README.md", "results.json"})
    result.save()
    card = model_card(result, loading_snippet(model, predictor.recipe))
    (staging / "README.md").write_text(card, encoding="utf-8")
    folders.publish(target)
    return ExportedTask(target, type(model).__name__, difference)


def _recipe_alone(recipe: dict, metrics) -> dict:
    """Leave out of a task's recipe what speaks of the others: metrics that it does not have, and the best epoch by a
    metric of theirs."""
    judged = ("metric_for_best_model", "greater_is_better")
    training = {name: value for name, value in recipe["training"].items() if name not in judged}
    return {**recipe, "metrics": None if metrics is None else list(metrics), "training": training}


def _difference(whole, alone) -> float:
    """Compare both models on inputs of noise: ids of the vocabulary, or pixels."""
    generator = torch.Generator().manual_seed(0)
    if whole.backbone.modality == "image":
        size = whole.model.config.pretrained_cfg["input_size"]
        channels = whole.backbone.in_chans
        inputs = {"pixel_values": torch.randn(2, channels, *size[1:], generator=generator)}
    else:
        length = min(12, whole.backbone.max_length)
        ids = torch.randint(0, len(whole.processor), (3, length), generator=generator)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    inputs = {name: value.to(whole.model.device) for name, value in inputs.items()}
    with torch.no_grad():
        return float((whole.model(**inputs).logits - alone.model(**inputs).logits).abs().max())
