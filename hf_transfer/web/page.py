"""What the demo page of a finished run says and asks for: plain values, which a Space holds as page.json."""

from ..domain_results import measured_data
from ..errors import UserError
from ..results import RunResult, short_source, span
from ..scrub import backbones
from ..task_results import is_mixture

_LISTED = 20  # class names in the heading


def page_of(result: RunResult) -> dict:
    """Describe the page of a run.

    Args:
        result (`RunResult`): of a finished run.

    Returns:
        `dict`: `title`, `about` (lines under it), `kind` (text or image), `inputs` (what each input is called),
        `answer` (what the output is called), `problem_type`, `channels` or `max_length`, and no `examples` yet.
    """
    if is_mixture(result):
        task = next(iter(result.data["tasks"]))
        raise UserError(
            f"{result.output_dir} has several tasks; export one first: hf-transfer export {result.output_dir} --task "
            f"{task} --output DIR"
        )
    data, parts = measured_data(result), list(backbones(result.recipe["backbone"]).values())
    if data["kind"] == "TextImageClassification":
        raise UserError(
            "the demo page shows one kind of input, and this model reads a text and an image; "
            "`hf-transfer predict` takes a table of both"
        )
    kind = "image" if data["kind"] == "ImageClassification" else "text"
    regression = result.problem_type == "regression"
    page = {
        "title": " ".join(str(result.recipe.get("summary") or result.recipe_name or "A trained model").split()),
        "about": [line for line in (_made(result), _measured(result), result.verdict(), _labels(result)) if line],
        "kind": kind,
        "inputs": _inputs(data, kind),
        "answer": result.data["labels"][0] if regression and result.data.get("labels") else "Probabilities",
        "problem_type": result.problem_type,
        "examples": [],
    }
    if kind == "image":
        return {**page, "channels": parts[0].get("in_chans") or 3}
    return {**page, "max_length": max(part["max_length"] for part in parts)}


def _inputs(data: dict, kind: str) -> list[str]:
    if kind == "image":
        return ["Image"]
    if data.get("text_pair") is None:
        return ["Text"]
    return [str(data.get("text") or "Text"), str(data["text_pair"])]  # two of a kind: the columns tell them apart


def _made(result: RunResult) -> str:
    words = f"Recipe {result.recipe_name}" if result.recipe_name else "Trained with hf-transfer-recipes"
    checkpoint = result.data.get("checkpoint")
    return f"{words} on {short_source(checkpoint)}." if checkpoint else f"{words}."


def _measured(result: RunResult) -> str:
    rows = result.score_rows()
    test = next((row for row in rows if row[0] == "test"), None)
    if test is None:
        return ""
    interval = f" (95% interval {span(result.headline.get('ci95'))})" if result.headline.get("ci95") else ""
    count = (result.data.get("data") or {}).get("test")
    return f"Test {rows[0][1]} {test[1]}{interval}" + (f" on {count:,} rows." if count else ".")


def _labels(result: RunResult) -> str:
    names = [" ".join(str(name).split()) for name in result.data.get("labels") or []]
    if result.problem_type == "regression":
        return f"Predicts a number: {names[0]}." if names else "Predicts a number."
    shown = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    if result.problem_type == "multi_label_classification":
        return f"{len(names)} labels, each with a probability of its own: {shown}."
    return f"{len(names)} classes: {shown}."
