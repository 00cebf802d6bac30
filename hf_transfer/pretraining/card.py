"""The model card of a pretrained backbone: a pure function of its result."""

import json

from ..card.markdown import cell, fenced, pairs, table
from ..card.metadata import front_matter
from ..results import RunResult, title
from ..scrub import is_path, last_name, without_places
from .report import dropped, score_rows

TAGS = {"RawText": ("fill-mask", "Fill-Mask"), "RawImages": ("image-feature-extraction", "Image Feature Extraction")}
_METHODS = {
    "RawText": "masked language modelling (Devlin et al. 2019), continued on further texts (Gururangan et al. 2020)",
    "RawImages": "SimCLR (Chen et al. 2020): two views of an image are to be alike, views of different images are not",
}


def pretraining_card(result: RunResult) -> str:
    """Return Markdown with the YAML block that the Hub reads."""
    recipe, data = result.recipe, result.data
    kind = recipe["data"]["kind"]
    heading = cell(recipe.get("summary") or result.recipe_name or "Pretrained backbone")
    sources = data.get("hub_sources") or {}
    facts = [
        ("Backbone", _named(data["checkpoint"], sources.get("base_model"))),
        ("Learnt", _METHODS[kind]),
        ("Data", _named(str(recipe["data"]["train"]), next(iter(sources.get("datasets") or []), None))),
        ("Rows", f"{data['data']['train']:,} to train on, {data['data']['validation']:,} to measure on"),
        ("Dropped", dropped(data["data"]["dropped"])),
        ("Training seed", str(data["seed"])),
        ("Seed of the measurement", str(data["split_seed"])),
    ]
    notes = [f"- {cell(without_places(note, recipe, data))}" for note in data.get("notes") or []]
    text = json.dumps(without_places(recipe, recipe, data), indent=2, ensure_ascii=False)
    parts = [
        f"---\n{front_matter(_metadata(result, kind))}\n---\n\n# {heading}",
        "Made with hf-transfer-recipes. This is a backbone to start from: it has no classifier.",
        pairs(facts),
        "\n".join(notes),
        f"## Use\n\n{fenced(_snippet(kind), 'python')}\n\nTo train a classifier on it:\n\n"
        + fenced("hf-transfer run NAME --backbone.checkpoint user/name --data.train FILE", "bash"),
        f"## Measured\n\nOn the validation rows, before and after, with the same random choices.\n\n"
        f"{table(score_rows(result))}",
        f"## Limits\n\n- {_limit(kind)}\n- What the backbone learned before, its biases included, is still in it.",
        f"## Recipe\n\n{fenced(text, 'json')}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _named(source: str, hub_id: str | None) -> str:
    return f"`{hub_id}`" if hub_id else f"`{last_name(source) if is_path(source) else source}` (local)"


def _snippet(kind: str) -> str:
    if kind == "RawText":
        return (
            "from transformers import pipeline\n\n"
            'fill = pipeline("fill-mask", model="MODEL")  # MODEL: a folder or Hub id\n'
            'print(fill(f"this is {fill.tokenizer.mask_token}."))'
        )
    return (
        'from transformers import AutoModel\n\nbackbone = AutoModel.from_pretrained("MODEL")  # a folder or Hub id; '
        "needs timm"
    )


def _limit(kind: str) -> str:
    if kind == "RawText":
        return "Perplexity is that of masked tokens; it compares with other figures on these very masks alone."
    return "The loss depends on the size of the contrasted batch; it compares with figures of the same size alone."


def _metadata(result: RunResult, kind: str):
    from huggingface_hub import EvalResult, ModelCardData

    data, (tag, task) = result.data, TAGS[kind]
    sources = data.get("hub_sources") or {}
    base, ids = sources.get("base_model"), list(sources.get("datasets") or [])
    name = str(result.recipe["data"]["train"])
    shown = ids[0] if ids else last_name(name) if is_path(name) else name
    local = "text" if kind == "RawText" else "imagefolder"
    results = [
        EvalResult(
            task_type=tag,
            task_name=task,
            dataset_type=ids[0] if ids else local,
            dataset_name=shown,
            dataset_split="validation",
            metric_type=one,
            metric_name=title(one),
            metric_value=value,
        )
        for one, value in result.metrics["validation"].items()
    ]
    tags = ["hf-transfer-recipes", "transfer-learning", "pretraining"]
    return ModelCardData(
        language=list(data.get("language") or []) or None,
        license=data.get("license") or "unknown",
        license_name=data.get("license_name"),
        license_link=data.get("license_link"),
        library_name="transformers",
        pipeline_tag=tag,
        base_model=base,
        base_model_relation="finetune" if base else None,
        datasets=ids or None,
        metrics=list(result.metrics["validation"]),
        tags=tags + ([result.recipe_name.replace("/", "-")] if result.recipe_name else []),
        model_name=" ".join(str(result.recipe_name or "model").split()),
        eval_results=results,
    )
