"""Masked language modelling (Devlin et al. 2019), gone on with on texts of a domain or a task (Gururangan et al. 2020,
DAPT and TAPT)."""

import math
from functools import partial
from pathlib import Path

import numpy as np

from ..assembly.texts import grow_embeddings
from ..backbones.checkpoint import check_loaded, quiet, reach
from ..backbones.finished import finished_backbone
from ..errors import UserError
from ..objectives.step_loss import StepLoss
from ..objectives.supervised_loss import SupervisedLoss
from ..precision import kind_of
from ..saving import save_model
from .masking import MaskedCollator, MaskedRows, MaskedTokensOnly
from .task import Task
from .tokens import check_tokenizer, tokenise

_WORST = 700.0  # nats; exp of more is no finite number


def open_task(recipe, splits, order, seed: int) -> Task:
    """Build model and rows.

    Args:
        recipe (`Recipe`): of `RawText` and a `MaskedLMHead`.
        splits (`RawSplits`): texts.
        order (`Order`): of the run.
        seed (`int`): of the masks in training.

    Raises:
        `UserError`: the checkpoint is no encoder with a masked-language-modelling class, or its tokenizer cannot mask.
    """
    backbone, head, trust = recipe.backbone, recipe.head, order.trust_remote_code
    tokenizer = backbone.processor(trust)
    check_tokenizer(tokenizer, backbone.checkpoint, head.whole_word)
    model, new_head = build_model(backbone, tokenizer, trust)
    pooling, normalize = _pooling(backbone, trust)
    with order.clock("tokenise"), order.state.local_main_process_first():
        work = order.checkpoints / "work"
        pieces = {
            name: tokenise(getattr(splits, name), tokenizer, backbone.max_length, work, recipe.data.join)
            for name in ("train", "validation")
        }
    # Measured in batches of like length; the masks go by the row's place in this order.
    by_length = pieces["validation"].select(np.argsort(pieces["validation"]["length"][:], kind="stable"))
    units = "words" if head.whole_word else "tokens"
    lines = [
        f"{head.probability:.0%} of the {units} are masked, anew in every epoch; validation keeps its masks "
        f"(seed {recipe.data.split_seed})",
        f"{len(pieces['train']):,} train and {len(by_length):,} validation pieces, of {backbone.max_length} tokens "
        "at most" + (", texts laid end to end" if recipe.data.join else ""),
    ]
    if new_head:
        lines.append(
            "the checkpoint brings no masked-language-modelling head: a new one, its output matrix shared with the "
            "input embeddings; before training its perplexity means nothing"
        )
    watch = MaskedTokensOnly(model)
    return Task(
        model=model,
        objective=StepLoss(SupervisedLoss("single_label_classification")),
        train=MaskedRows(pieces["train"], head, tokenizer, seed),
        validation=MaskedRows(by_length, head, tokenizer, recipe.data.split_seed, fixed=True),
        collate=MaskedCollator(tokenizer),
        figures=figures,
        headline="perplexity",
        shown=("perplexity", "loss"),
        save=lambda folder, resolved: save_model(model, tokenizer, resolved, folder),
        reload=partial(_reload, trust=trust),
        kind=kind_of(model),
        lines=tuple(lines),
        let_go=watch.remove,
        about={"new_head": new_head, "pooling": pooling, "normalize": normalize, "masked": units},
    )


def figures(loss: float) -> dict[str, float]:
    """Return `perplexity`, e to the mean loss, beside `loss`, the cross-entropy of a masked token in nats."""
    return {"perplexity": math.exp(min(loss, _WORST)), "loss": loss}


def build_model(backbone, tokenizer, trust_remote_code: bool = False):
    """Load the checkpoint's encoder under the stock masked-language-modelling head of its class.

    Returns:
        `tuple[PreTrainedModel, bool]`: the model in float32, and whether its head is new.

    Raises:
        `UserError`: transformers has no such class for the checkpoint, or it is incomplete.
    """
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoModelForMaskedLM

    config, finished = backbone.load_config(trust_remote_code), backbone.finished(trust_remote_code)
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING and not trust_remote_code:
        raise UserError(
            f"checkpoint {backbone.checkpoint!r} is a {config.model_type!r} model, and transformers has no masked-"
            "language-modelling class for it; take an encoder such as BERT, RoBERTa or ModernBERT"
        )
    if finished is not None:
        model = AutoModelForMaskedLM.from_config(config)
        encoder = finished_backbone(backbone.checkpoint, backbone.revision, finished)
        missing, extra = model.base_model.load_state_dict(encoder.state_dict(), strict=False)
        wrong = [name for name in (*missing, *extra) if not name.startswith("pooler.")]
        if wrong:
            raise UserError(f"checkpoint {backbone.checkpoint!r} does not fit {type(model).__name__}: {wrong[0]!r}")
        new = True
    else:
        with reach(backbone.checkpoint, "weights"):
            model, info = AutoModelForMaskedLM.from_pretrained(
                backbone.checkpoint, revision=backbone.revision, config=config, dtype="float32",
                trust_remote_code=trust_remote_code, output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
        head = tuple(f"{name}." for name, _ in model.named_children() if name != model.base_model_prefix)
        check_loaded(backbone.checkpoint, info, head)
        new = any(name.startswith(head) for name in info["missing_keys"])
    grow_embeddings(model, tokenizer, backbone)
    for one in (model.config, getattr(model.config, "backbone_config", None)):
        if getattr(one, "auto_map", None) and not trust_remote_code:
            del one.auto_map  # it names code that was not used, and others might run it
    return model.float().train(), new


def _pooling(backbone, trust_remote_code: bool) -> tuple[str, bool]:
    """What the next recipe's `pooling="auto"` stands for: what it was before. A learned pooler is no part of a
    masked-language model, so the mean takes its place."""
    config, finished = backbone.load_config(trust_remote_code), backbone.finished(trust_remote_code)
    pooling, normalize = backbone.resolve_pooling(config, finished)
    return ("mean", False) if pooling in ("pooler", "attention") else (pooling, normalize)


def _reload(folder: Path, trust: bool):
    from transformers import AutoModelForMaskedLM

    with quiet():
        model = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=trust)
    MaskedTokensOnly(model)
    return model.eval()
