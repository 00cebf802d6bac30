"""What is settled about each stage of a training before any of them starts, so that a mistake is told now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from .arguments import build_arguments
from .errors import UserError
from .feature_blocks import feature_blocks
from .heads import LinearHead
from .linear.choice import settle_fit
from .precision import Choice, choose, kind_of
from .replay import replay_of
from .stages import stages_of
from .workers import default_workers


class StageArguments(NamedTuple):
    """A stage before there is a model: its recipe and whether it is the only one, which of its training fields were
    given for it, and the arguments of gradient descent."""

    recipe: Any
    alone: bool
    named: frozenset
    args: Any
    folder: Path


def arguments_of(recipe, checkpoints: Path, metrics: Sequence[str]) -> list[StageArguments]:
    """Build the `TrainingArguments` of every stage.

    Args:
        checkpoints (`Path`): where resume state goes.
        metrics (`Sequence[str]`): what is measured after each epoch.

    Raises:
        `UserError`: see [`build_arguments`].
    """
    stages = stages_of(recipe)
    folders = [checkpoints] if len(stages) == 1 else [checkpoints / f"stage-{n + 1}" for n in range(len(stages))]
    return [
        StageArguments(stage.recipe, len(stages) == 1, stage.named, _arguments(stage.recipe, folder, metrics), folder)
        for stage, folder in zip(stages, folders, strict=True)
    ]


def _arguments(recipe, folder: Path, metrics: Sequence[str]):
    probe = isinstance(recipe.head, LinearHead) and recipe.strategy.frozen_depth(1) >= 1
    _refuse_two_schedules(recipe)
    training = {**getattr(recipe.strategy, "training_defaults", {}), **recipe.training}
    return build_arguments(folder, training, metrics, probe)


@dataclass
class Plan:
    """One stage, settled.

    Args:
        recipe (`Recipe`): with the stage's own strategy, training fields and objective; no field is left on auto.
        args (`TrainingArguments`): of gradient descent.
        folder (`Path`): where its resume state goes.
        frozen (`bool`): whether the whole backbone stands still, so that its features are recorded once.
        fit (`str`): `"lbfgs"` or `"sgd"`.
        dtypes (`dict[str, Choice]`): by phase, `"features"` (of a fused backbone `"features of NAME"` for each part)
            and `"train"`.
        trainable (`int`): parameters that ever move.
        total (`int`): all parameters.
    """

    recipe: Any
    args: Any
    folder: Path
    frozen: bool
    fit: str
    dtypes: dict[str, Choice]
    trainable: int
    total: int

    @property
    def phases(self) -> dict[str, str]:
        """The precision of each phase."""
        return {phase: choice.dtype for phase, choice in self.dtypes.items()}

    @property
    def augmentation_seed(self) -> int | None:
        """What augmentation is drawn from; a frozen backbone sees images as they are."""
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return None if self.frozen else seed


def plan_stages(stages: Sequence[StageArguments], model, depths: Mapping[str, int], dtype: str) -> list[Plan]:
    """Settle every stage of a recipe.

    Args:
        model (`nn.Module`): as built, on its device.
        depths (`Mapping[str, int]`): of its parameters.
        dtype (`str`): `"auto"`, `"float32"` or `"bfloat16"`.

    Raises:
        `UserError`: fields that do not go together, or a backbone that a strategy cannot train.
    """
    return [_plan(*stage, model, depths, dtype) for stage in stages]


def _plan(recipe, alone, named, args, folder, model, depths, dtype) -> Plan:
    top = max(depths.values())
    frozen = recipe.strategy.frozen_depth(top - 1) >= top - 1
    recipe.strategy.check(depths)
    recipe.strategy.check_model(model, depths)
    recipe.objective.check(frozen, model.config.problem_type)
    recipe.objective.check_blocks(feature_blocks(model))
    replay = replay_of(model) if frozen else None
    fit = settle_fit(recipe, frozen, named, replay is not None and replay.linear is not None)
    recipe = replace(recipe, backbone=_settle_augmentation(recipe.backbone, frozen, alone))
    _refuse_for_frozen(args, frozen)
    dtypes = _choose_dtypes(recipe, model, replay, args.device, fit, dtype)
    if "train" in dtypes and dtypes["train"].dtype == "bfloat16" and not args.bf16:
        args = replace(args, bf16=True)
    if not frozen and _reads_images(recipe.backbone) and "dataloader_num_workers" not in recipe.training:
        workers = default_workers(args.device.type, args.world_size)
        args = replace(args, dataloader_num_workers=workers) if workers else args
    trainable, total = recipe.strategy.trainable(model, depths), sum(p.numel() for p in model.parameters())
    return Plan(recipe, args, folder, frozen, fit, dtypes, trainable, total)


def _choose_dtypes(recipe, model, replay, device, fit: str, asked: str) -> dict[str, Choice]:
    """Choose the precision of extraction and of gradient descent; an L-BFGS fit is float32 by nature.

    `bf16` or `fp16` among the recipe's training fields settles training.
    """
    named = next((field for field in ("bf16", "fp16") if recipe.training.get(field)), None)
    if named and asked != "auto":
        raise UserError(f"--dtype {asked} and training.{named} both say how to train; give only one of them")
    chosen = {}
    if replay is not None:
        for phase, part in features_phases(model).items():
            kind, size = kind_of(part)
            # An embedding matrix is only looked up: nothing is computed that could be faster.
            wanted = "float32" if kind == "embeddings" else asked
            chosen[phase] = choose("features", kind, size, device, wanted)
    if named:
        chosen["train"] = Choice({"bf16": "bfloat16", "fp16": "float16"}[named], f"training.{named}")
    elif fit == "sgd":
        trained = features_phases(model).values() if replay is None else [replay]
        kinds = [kind_of(one) for one in trained]
        found = [choose("train", kind, size, device, asked) for kind, size in kinds]
        # Autocast is one for the whole model: bfloat16 only where no part loses by it.
        chosen["train"] = next((one for one in found if one.dtype == "float32"), found[0])
        kind = kinds[0][0]
        if kind == "pooled" and asked == "auto":
            chosen["train"] = Choice("float32", "a head on recorded vectors trains in seconds either way")
    return chosen


def features_phases(model) -> dict[str, Any]:
    """Return the models whose features are computed, each with the name of that phase: of a fused one its parts."""
    if model.config.model_type != "transfer_fused":
        return {"features": model}
    return {f"features of {name}": part for name, part in model.parts.items()}


def _reads_images(backbone) -> bool:
    return any(part.modality == "image" for part in getattr(backbone, "parts", {"": backbone}).values())


def _refuse_for_frozen(args, frozen: bool) -> None:
    """Settings that act inside the backbone would do nothing on its recorded outputs."""
    for field in ("activation_checkpointing", "gradient_checkpointing", "neftune_noise_alpha"):
        if frozen and getattr(args, field):
            raise UserError(f"training.{field} acts on a backbone that trains; with FrozenFeatures leave it out")


def _refuse_two_schedules(recipe) -> None:
    if getattr(recipe.strategy, "slanted_triangular", False):
        for field in ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"):
            if field in recipe.training:
                raise UserError(
                    f"strategy.slanted_triangular and training.{field} both set the schedule; give only one of them"
                )


def _settle_augmentation(backbone, frozen: bool, alone: bool):
    if hasattr(backbone, "parts"):
        return backbone.with_parts(lambda part: _settle_augmentation(part, frozen, alone))
    if backbone.modality != "image":
        return backbone
    if frozen and not alone:  # what it says is meant for the other stages
        return replace(backbone, augmentation="none")
    if frozen and backbone.augmentation not in ("auto", "none"):
        raise UserError(
            f"backbone.augmentation is {backbone.augmentation!r} but strategy FrozenFeatures computes each image's "
            "features once; set backbone.augmentation to none, or use FullFineTune"
        )
    settled = "none" if frozen else "crop_flip"
    return replace(backbone, augmentation=settled if backbone.augmentation == "auto" else backbone.augmentation)
