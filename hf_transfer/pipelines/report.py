"""What a pipeline says in the end, on the screen and as a card."""

import json

from ..card.markdown import cell, fenced, table
from ..results import RunResult, align, number, one_line, span, title
from ..scrub import without_places


def score_rows(result: RunResult) -> list[list[str]]:
    """Return test scores as text, the target with and without what came first side by side."""
    data = result.data
    parts = {part["folder"]: part for part in data["parts"]}
    arms = [("with what came first", [one for one in data["parts"] if one["folder"] != "baseline"][-1])]
    if "baseline" in parts:
        arms.append(("without, from its own checkpoint", parts["baseline"]))
    name = data["headline"]["name"]
    others = [one for one in ("macro_f1", "mae", "loss") if one in arms[0][1]["metrics"]["test"] and one != name]
    rows = [["target, test", title(name), "95% interval", *map(title, others)]]
    for shown, part in arms:
        scores = part["metrics"]["test"]
        rows.append(
            [shown, number(part["headline"]["value"]), span(part["headline"]["ci95"])]
            + [number(scores.get(one)) for one in others]
        )
    return rows


def comparison_table(result: RunResult) -> str:
    """Return the plain text a pipeline ends with."""
    verdict = (result.data["comparison"] or {}).get("text", "")
    return "\n\n".join(part for part in (align(score_rows(result)), verdict) if part)


def next_step(folder, parts) -> str:
    """Return the lines that say where the models are."""
    lines = "\n".join(f"  {part}" for part in parts)
    target = [part for part in parts if part != "baseline"][-1]
    return f"The runs are in {folder}\n{lines}\n  share    hf-transfer push {folder}/{target} user/name"


def pipeline_card(result: RunResult) -> str:
    """Return what README.md of the whole says; each part has a card of its own."""
    data = result.data
    verdict = (data["comparison"] or {}).get("text", "")
    parts = [["part", "recipe", "measured"]]
    for part in data["parts"]:
        headline = part["headline"]
        split = headline.get("split", "test")
        measured = f"{split} {title(headline['name'])} {number(headline['value'])}"
        parts.append([f"`{part['folder']}`", one_line(part["recipe"]), measured])
    seen = "could read" if data["transductive"] else "did not see"
    text = json.dumps(without_places(result.recipe, result.recipe, data), indent=2, ensure_ascii=False)
    return (
        f"# {cell(result.recipe['summary'])}\n\nMade with hf-transfer-recipes. Each part started from what the one "
        f"before it left; `baseline` is the target from its own checkpoint.\n\n{table(score_rows(result))}\n\n"
        f"{verdict}\n\n"
        f"Parts that learnt without labels {seen} the inputs of the target's validation and test rows.\n\n"
        f"## Parts\n\n{table(parts)}\n\n## Recipe\n\n{fenced(text, 'json')}\n"
    )
