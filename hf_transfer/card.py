"""The model card: a pure function of a result, so that every number in it comes from results.json."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .results import RunResult, is_path, last_name

_TASKS = {
    "single_label_classification": "one class per row",
    "multi_label_classification": "any number of labels per row",
    "regression": "one number per row",
}


def model_card(result: RunResult, loading_snippet: str) -> str:
    """Markdown with the YAML block the Hub reads: what the model is, how to load it, how good it is and what on.

    Args:
        result (`RunResult`): of a finished run; `data["hub_sources"]` (see `results.hub_sources`) says what may be
            named as base model and data set, the rest stays "local".
        loading_snippet (`str`): Python lines that load the model.
    """
    parts = [
        _metadata(result),
        f"# {_heading(result)}",
        _description(result),
        "## How to load it\n\n" + _fenced(loading_snippet.strip(), "python"),
        _evaluation(result),
        _training(result),
        _limits(result),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(result: RunResult) -> str:
    sources = _sources(result)
    lines = [f"pipeline_tag: {_pipeline_tag(result)}", "library_name: transformers"]
    if sources.get("base_model"):
        lines.append(f"base_model: {_yaml(sources['base_model'])}")
    if sources.get("datasets"):
        lines += ["datasets:", *(f"- {_yaml(one)}" for one in sources["datasets"])]
    tags = ["hf-transfer-recipes", "transfer-learning"]
    if result.recipe_name:
        tags.append(result.recipe_name.replace("/", "-"))
    lines += ["tags:", *(f"- {_yaml(tag)}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _heading(result: RunResult) -> str:
    return _cell(result.recipe.get("summary") or result.recipe_name or "Fine-tuned model")


def _description(result: RunResult) -> str:
    recipe, labels = result.recipe, result.data.get("labels") or []
    lines = [
        f"- **Backbone:** {_named(result.data.get('checkpoint'), _sources(result).get('base_model'))}",
        f"- **Head:** {recipe['head']['kind']}, **strategy:** {recipe['strategy']['kind']}",
        f"- **Task:** {_TASKS[result.problem_type]} (`{result.problem_type}`)",
    ]
    if result.problem_type == "regression":
        lines.append(f"- **Predicts:** {', '.join(map(_cell, labels))}")
    else:
        shown = ", ".join(map(_cell, labels[:20])) + (", ..." if len(labels) > 20 else "")
        lines.append(f"- **Labels ({len(labels)}):** {shown}")
    made = f"recipe `{result.recipe_name}`" if result.recipe_name else "a recipe"
    return f"Made with hf-transfer-recipes from {made}.\n\n" + "\n".join(lines)


def _evaluation(result: RunResult) -> str:
    parts = ["## Evaluation", "Measured on the saved model, loaded anew.", _markdown_table(result.score_rows())]
    if result.verdict():
        parts.append(f"**{result.verdict()}**")
    rows, note = result.class_rows()
    if rows:
        parts.append(_markdown_table(rows))
    if note:
        parts.append(f"({note[0].upper()}{note[1:]}.)")
    return "\n\n".join(parts)


def _training(result: RunResult) -> str:
    paths = _local_paths(result)
    lines = [f"- **{name.capitalize()}:** {line}" for name, line in result.facts()]
    train = (result.recipe.get("data") or {}).get("train")
    if isinstance(train, str):
        from_hub = train.partition(":")[0] in (_sources(result).get("datasets") or [])
        lines.insert(0, f"- **Data:** {_named(train, train if from_hub else None)}")
    if result.data.get("seed") is not None:
        lines.append(f"- **Seeds:** training {result.data['seed']}, split {result.data.get('split_seed')}")
    environment = result.data.get("environment") or {}
    if environment:
        lines.append(f"- **Environment:** {', '.join(f'{name} {value}' for name, value in environment.items())}")
    lines += [f"- {_cell(_without_paths(note, paths))}" for note in result.data.get("notes") or []]
    recipe = json.dumps(_public(result.recipe, paths), indent=2, ensure_ascii=False)
    details = f"<details>\n<summary>The recipe</summary>\n\n{_fenced(recipe, 'json')}\n\n</details>"
    return "\n\n".join(["## Training", "\n".join(lines), details])


def _limits(result: RunResult) -> str:
    backbone, reads_images = result.recipe.get("backbone") or {}, _pipeline_tag(result) == "image-classification"
    lines = [
        "The figures hold for rows like those of the test split; on other sources, languages or times expect less.",
        "The interval covers the choice of test rows only, not that of the training seed; this is one run.",
    ]
    if result.problem_type == "single_label_classification":
        lines.append("Every input gets one of the labels above, also one that belongs to none of them.")
    if not reads_images and backbone.get("max_length"):
        lines.append(f"Only the first {backbone['max_length']} tokens of a text were used in training.")
    lines.append("What the backbone learned before, its biases included, is still in the model.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _pipeline_tag(result: RunResult) -> str:
    kind = (result.recipe.get("data") or {}).get("kind")
    return "image-classification" if kind == "ImageClassification" else "text-classification"


def _sources(result: RunResult) -> Mapping:
    return result.data.get("hub_sources") or {}


def _named(source: Any, hub_id: str | None) -> str:
    if hub_id:
        return f"`{hub_id}`"
    return f"`{last_name(str(source))}` (local)"


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|---|" + "---:|" * (len(rows[0]) - 1), *lines[1:]])


def _cell(text: Any) -> str:
    """Text that cannot break a table or be taken for HTML."""
    text = " ".join(str(text).split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _yaml(text: str) -> str:
    # a lone word may be a boolean or a number in YAML
    return text if re.fullmatch(r"[A-Za-z]\w*[/-][\w./-]*", text) else json.dumps(text)


def _local_paths(result: RunResult) -> list[str]:
    """Every path in the recipe, longest first: the sources that did not come from the Hub, and whatever else is
    absolute."""
    recipe, hub = result.recipe, _sources(result)
    data, backbone = recipe.get("data") or {}, recipe.get("backbone") or {}
    sources = [data.get("train"), data.get("validation"), data.get("test"), backbone.get("checkpoint")]
    from_hub = {hub.get("base_model"), *(hub.get("datasets") or [])}
    local = {
        source
        for source in sources
        if isinstance(source, str) and (is_path(source) or "/" in source) and source.partition(":")[0] not in from_hub
    }
    return sorted(local | set(_absolute_paths(recipe)), key=lambda path: (-len(path), path))


def _absolute_paths(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _absolute_paths(entry)
    elif isinstance(value, str) and re.match(r"([A-Za-z]:|~)?[/\\]+[^/\\]+[/\\]", value):
        yield value


def _without_paths(text: str, paths: Sequence[str]) -> str:
    for path in paths:
        text = text.replace(path, last_name(path))
    return text


def _public(value: Any, paths: Sequence[str]) -> Any:
    """The same JSON with each local path reduced to its last name: folders say who and where the author is."""
    if isinstance(value, Mapping):
        return {key: _public(entry, paths) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_public(entry, paths) for entry in value]
    return last_name(value) if isinstance(value, str) and value in paths else value
