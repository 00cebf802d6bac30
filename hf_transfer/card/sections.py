"""What stands in each section of a card, as Markdown."""

import json

from ..domain_results import CHOSEN_BY, score_rows, weighting_lines
from ..results import RunResult, duration, last_name
from ..scrub import backbones, data_sets, without_places
from .markdown import cell, fenced, pairs, table
from .metadata import hub_sources_of
from .pictures import MOST_CLASSES

_TASKS = {
    "single_label_classification": "one class per row",
    "multi_label_classification": "any number of labels per row",
    "regression": "one number per row",
}
_MOST_LABELS = 20  # named in the card; config.json has all


def sections(result: RunResult, loading_snippet: str) -> dict[str, str]:
    """Return the values of `template.md`; what a result does not have is empty."""
    return {
        "heading": cell(result.recipe.get("summary") or result.recipe_name or "Fine-tuned model"),
        "description": _description(result),
        "snippet": fenced(loading_snippet.strip(), "python"),
        "loading": _loading(result, loading_snippet),
        "recipe": _recipe(result),
        "data": _data(result),
        "scores": table(result.score_rows()),
        "verdict": result.verdict() or "",
        "classes": _classes(result),
        "confusion": _confusion(result),
        "domains": _domains(result),
        "training": _training(result),
        "curve": _curve(result),
        "speed": _speed(result),
        "limits": _limits(result),
        "environment": _environment(result),
        "citation": _citation(result),
    }


def _named(source: object, hub_id: str | None) -> str:
    """A checkpoint or data set: its id on the Hub, or the last name of a local one, as folders tell of their owner."""
    return f"`{hub_id}`" if hub_id else f"`{last_name(str(source))}` (local)"


def _description(result: RunResult) -> str:
    recipe, labels, sources = result.recipe, result.data.get("labels") or [], hub_sources_of(result)
    lines = _backbones(result.data.get("checkpoint"), sources.get("base_model"))
    start = result.data.get("start_from") or {}
    if start:
        lines.append(("Trained further from", _named(start["source"], start["source"] if start["revision"] else None)))
    stages = recipe["strategy"] if isinstance(recipe["strategy"], list) else [recipe]
    if "parts" in recipe["backbone"]:
        lines.append(("Fusion", _fusion(result)))
    strategy = ", then ".join(stage["strategy"]["kind"] for stage in stages)
    lines.append(("Head", f"{recipe['head']['kind']}, **strategy:** {strategy}"))
    fusion = (recipe.get("backbone") or {}).get("fusion")
    if isinstance(fusion, dict):
        layers = "all" if fusion.get("layers") is None else ", ".join(map(str, fusion["layers"]))
        lines.append(("Layer fusion", f"{fusion['method'].replace('_', ' ')} of layers {layers}"))
    lines.append(("Task", f"{_TASKS[result.problem_type]} (`{result.problem_type}`)"))
    if result.problem_type == "regression":
        lines.append(("Predicts", ", ".join(map(cell, labels))))
    else:
        shown = ", ".join(map(cell, labels[:_MOST_LABELS])) + (", ..." if len(labels) > _MOST_LABELS else "")
        lines.append((f"Labels ({len(labels)})", shown))
    made = f"recipe `{result.recipe_name}`" if result.recipe_name else "a recipe"
    return f"Made with hf-transfer-recipes from {made}.\n\n{pairs(lines)}"


def _backbones(checkpoint: object, hub_ids: object) -> list[tuple[str, str]]:
    """The checkpoint, or each part's of a fused backbone."""
    if not isinstance(checkpoint, dict):
        return [("Backbone", _named(checkpoint, hub_ids))]
    on_hub = hub_ids or []
    return [(f"Backbone `{name}`", _named(one, one if one in on_hub else None)) for name, one in checkpoint.items()]


def _fusion(result: RunResult) -> str:
    backbone, learned = result.recipe["backbone"], result.data.get("learned") or {}
    first, second = backbone["parts"]
    if backbone["fusion"] == "concat":
        return f"pooled features of `{first}` and `{second}` side by side"
    if "alpha" in learned:
        weights = [f"{value:.4f}" for value in learned["alpha"].values()]
        return f"{weights[0]} * `{first}` + {weights[1]} * `{second}` (alpha was learned)"
    return f"{backbone['alpha']:g} * `{first}` + {1 - backbone['alpha']:g} * `{second}`"


def _loading(result: RunResult, loading_snippet: str) -> str:
    kinds = {part.get("kind") for part in backbones(result.recipe.get("backbone") or {}).values()}
    needs = "transformers and timm" if "ImageBackbone" in kinds else "transformers"
    needs += " and peft" if "from peft " in loading_snippet else ""
    if "trust_remote_code=True" not in loading_snippet:
        return f"It takes {needs} alone; the weights are safetensors."
    return (
        f"It takes {needs}; the weights are safetensors. The head is no class of transformers: "
        "`trust_remote_code=True` runs the Python files beside the weights. Read them, and give the commit that you "
        "have read as `revision=`. With hf-transfer-recipes installed, `import hf_transfer.hub` registers the same "
        "classes, and nothing of the repository is run."
    )


def _recipe(result: RunResult) -> str:
    text = json.dumps(without_places(result.recipe, result.recipe, result.data), indent=2, ensure_ascii=False)
    again = (
        "`hf-transfer run recipe.json`, or once it is on the Hub `hf-transfer run hub://user/name`, trains it again; "
        "flags change what it names."
    )
    return f"{again}\n\n<details>\n<summary>recipe.json</summary>\n\n{fenced(text, 'json')}\n\n</details>"


def _data(result: RunResult) -> str:
    facts, lines = dict(result.facts()), []
    for place, one in data_sets(result.recipe.get("data") or {}).items():
        train = one.get("train")
        if isinstance(train, str):
            from_hub = train.partition(":")[0] in (hub_sources_of(result).get("datasets") or [])
            lines.append((place.capitalize() or "Data", _named(train, train if from_hub else None)))
    lines += [(name.capitalize(), facts[name]) for name in ("rows", "dropped") if name in facts]
    if result.data.get("split_seed") is not None:
        lines.append(("Split seed", str(result.data["split_seed"])))
    notes = [f"- {cell(without_places(note, result.recipe, result.data))}" for note in result.data.get("notes") or []]
    return "\n".join([pairs(lines), *notes]).strip() or "Not recorded."


def _classes(result: RunResult) -> str:
    rows, note = result.class_rows()
    parts = [table(rows)] if rows else []
    if note:
        parts.append(f"({note[0].upper()}{note[1:]}.)")
    return "\n\n".join(parts)


def _confusion(result: RunResult) -> str:
    labels = result.data.get("labels") or []
    drawn = (result.data.get("pictures") or {}).get("confusion_matrix")
    if drawn is None:
        if result.problem_type != "single_label_classification" or len(labels) <= MOST_CLASSES:
            return ""
        kept = " results.json has the counts." if result.data.get("confusion") else ""
        return f"No picture: {len(labels)} classes are more than the {MOST_CLASSES} that one can show.{kept}"
    text = f"![Confusion matrix of the test rows: true classes as rows, predicted classes as columns]({drawn['file']})"
    if drawn["labels"] == "names":
        return text
    legend = [["in the picture", "class"], *([str(i), name] for i, name in enumerate(labels, 1))]
    return f"{text}\n\n{table(legend)}"


def _domains(result: RunResult) -> str:
    """Of a run on two domains: the scores on both, how far they lie apart, and a picture."""
    domains = result.data.get("domains")
    if not domains:
        return ""
    lines = [("Chosen by", CHOSEN_BY[domains["selection"]])]
    distances = domains.get("a_distance") or {}
    if distances:
        told = ", ".join(f"{value:.2f} {when}" for when, value in distances.items())
        lines.append(("Proxy A-distance", f"{told} (0: the domains cannot be told apart; 2: always)"))
    weights = weighting_lines(domains.get("weighting"), {})
    parts = [
        table(score_rows(domains)),
        pairs(lines),
        f"**{domains['verdict']['text']}**" if "verdict" in domains else "",
    ]
    parts += [fenced("\n".join(weights), "text") if weights else ""]
    if domains.get("picture"):
        parts.append(f"![Features of both domains in two dimensions]({domains['picture']})")
    return "\n\n".join(part for part in parts if part)


def _training(result: RunResult) -> str:
    facts, fit = dict(result.facts()), result.data.get("fit") or {}
    lines = [("Parameters", facts["parameters"])] if "parameters" in facts else []
    if fit.get("fit") == "lbfgs":
        chosen = f", chosen on the validation rows from {len(fit['grid'])}" if len(fit.get("grid") or []) > 1 else ""
        lines.append(("Fit", f"L-BFGS on all rows at once, L2 penalty {fit['l2']:.3g}{chosen}"))
    elif fit:
        lines.append(("Fit", "gradient descent"))
    if "layer weights" in facts:
        lines.append(("Learned layer weights", facts["layer weights"]))
    if result.data.get("seed") is not None:
        lines.append(("Training seed", str(result.data["seed"])))
    return pairs(lines) or "Not recorded."


def _curve(result: RunResult) -> str:
    drawn = (result.data.get("pictures") or {}).get("training_curve")
    if drawn is None:
        return ""
    return f"![Losses and validation {result.metric_title(result.headline['name'])} by epoch]({drawn['file']})"


def _speed(result: RunResult) -> str:
    rates, environment = result.data.get("throughput") or {}, result.data.get("environment") or {}
    lines = []
    for key, what, dtype in (
        ("features_per_s", "Features", environment.get("features_dtype")),
        ("train_samples_per_s", "Training", environment.get("dtype")),
    ):
        if rates.get(key):
            lines.append((what, f"{rates[key]:,.1f} rows/s" + (f" in {dtype}" if dtype else "")))
    times = result.data.get("timing") or {}
    if times:
        lines.append(("Time", ", ".join(f"{name.removesuffix('_s')} {duration(s)}" for name, s in times.items())))
    return pairs(lines)


def _limits(result: RunResult) -> str:
    backbone = result.recipe.get("backbone") or {}
    lines = [
        "The figures hold for rows like those of the test split; on other sources, languages or times expect less.",
        "The interval covers the choice of test rows only, not that of the training seed.",
    ]
    if result.problem_type == "single_label_classification":
        lines.append("Every input gets one of the labels above, also one that belongs to none of them.")
    for part in backbones(backbone).values():
        if part.get("kind") == "TextBackbone" and part.get("max_length"):
            whose = f" by {cell(last_name(str(part['checkpoint'])))}" if part is not backbone else ""
            lines.append(f"Only the first {part['max_length']} tokens of a text were used in training{whose}.")
    lines.append("What the backbone learned before, its biases included, is still in the model.")
    lines.append(_license(result))
    return "\n".join(f"- {line}" for line in lines)


def _license(result: RunResult) -> str:
    license, source = result.data.get("license") or "unknown", result.data.get("license_from")
    if license == "unknown":
        return (
            "The license of this model is not known: none was given, and the base model's card was not read or names "
            "none. What the base model and the data allow has to be asked there before it is used or passed on."
        )
    name = result.data.get("license_name")
    told = cell(f"{license} ({name})" if name else license)
    origin = "as the base model's card says" if source == "base model" else "as whoever trained it says"
    return f"License: {told}, {origin}. The terms of the data that it was trained on apply too."


def _environment(result: RunResult) -> str:
    found = {name: value for name, value in (result.data.get("environment") or {}).items() if value is not None}
    return ", ".join(f"{name} {cell(value)}" for name, value in found.items())


def _citation(result: RunResult) -> str:
    version = (result.data.get("environment") or {}).get("hf_transfer_recipes")
    # The facts of CITATION.cff, which is not installed with the package.
    entry = {
        "author": "{The hf-transfer-recipes authors}",
        "title": "{hf-transfer-recipes}: Transfer-learning recipes for {Hugging Face} checkpoints",
        "version": version,
        "license": "Apache-2.0",
    }
    lines = [f"  {key} = {{{value}}}" for key, value in entry.items() if value]
    found = _backbones(result.data.get("checkpoint"), hub_sources_of(result).get("base_model"))
    base = " and ".join(one for _, one in found)
    bibtex = "@software{hf_transfer_recipes,\n" + ",\n".join(lines) + "\n}"
    told = f"The backbone is {base}; cite it" if len(found) == 1 else f"The backbones are {base}; cite each"
    return f"{fenced(bibtex, 'bibtex')}\n\n{told} as its own card asks."
