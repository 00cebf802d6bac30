"""What the objective of a stage is built from."""

from functools import partial
from pathlib import Path

import torch

from .feature_blocks import feature_blocks
from .inputs import collator, encode
from .objectives.terms import Context, Source
from .source_heads import load_source
from .teachers import load_teacher


def objective_context(plan, model, depths, processor, splits, work: Path, head_learnt: bool) -> Context:
    """Return what the terms of a stage's objective may ask for; nothing is loaded before one does.

    Args:
        plan (`Plan`): of the stage.
        model (`nn.Module`): with the weights that the stage starts from.
        depths (`Mapping[str, int]`): of its parameters.
        processor: the tokenizer or image processor.
        splits (`Splits`): labelled rows.
        work (`Path`): where encoded rows are kept.
        head_learnt (`bool`): whether the head knows these very labels from a training before.
    """
    labels, train = splits.labels, plan.dtypes.get("train")
    return Context(
        model=model,
        depths=depths,
        num_labels=len(labels.names),
        frozen=plan.frozen,
        problem_type=labels.problem_type,
        head_learnt=head_learnt,
        precision=torch.float32 if train is None else getattr(torch, train.dtype),
        blocks=feature_blocks(model),
        teacher=partial(load_teacher, backbone=plan.recipe.backbone, processor=processor, labels=labels),
        source=partial(_source, plan.recipe, model, processor, splits.train, work),
    )


def _source(recipe, model, processor, rows, work: Path) -> Source:
    encoded = encode(recipe.backbone, processor, rows, work)
    return load_source(model, recipe, encoded, rows["label"][:], collator(recipe.backbone, processor))
