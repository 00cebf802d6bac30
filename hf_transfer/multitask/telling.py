"""What a run of several tasks says: before it starts, and at its end."""

from ..report import stage_lines
from ..results import RunResult, align, one_line
from ..scrub import source_name
from ..task_results import task_result
from .tasks import head_of


def describe(name: str | None, opened) -> list[str]:
    """Return the lines that tell what is about to be trained, on what, how and in which precision.

    Args:
        opened (`OpenedMixture`): ready to be trained.
    """
    recipe, plans, data = opened.recipe, opened.plans, opened.recipe.data
    drawn = data.sampling + (f" {data.temperature:g}" if data.temperature else "")
    weights = "1 each" if data.weights is None else data.weights
    shown = weights if isinstance(weights, str) else ", ".join(f"{task} {one:g}" for task, one in weights.items())
    lines = [
        f"{name or 'recipe'}: {recipe.summary}",
        f"  backbone   {recipe.backbone.checkpoint}",
        *(line for number, plan in enumerate(plans, 1) for line in stage_lines(plan, number, len(plans))),
        f"  tasks      {len(opened.splits)}; sampling {drawn}; weights {shown}",
    ]
    for task, splits in opened.splits.items():
        labels = splits.labels
        names = ", ".join(map(one_line, labels.names[:8])) + (", ..." if len(labels.names) > 8 else "")
        sizes = ", ".join(f"{len(getattr(splits, split)):,} {split}" for split in ("train", "validation", "test"))
        head, source = type(head_of(recipe, task)).__name__, source_name(data.tasks[task].train)
        lines.append(f"  {task:<9}  {source}; {head}; {labels.problem_type}: {names}; {sizes}")
        lines += [f"    note     {note}" for note in splits.notes]
    return lines + [f"  note       {note}" for note in opened.notes]


def results_text(result: RunResult) -> str:
    """Return the text that a run ends with: the mean over the tasks, then the scores of each."""
    parts = [result.table()]
    for task in result.data["tasks"]:
        one = task_result(result, task)
        classes, note = one.class_rows()
        tables = [align(one.score_rows()), align(classes) if classes else "", note, one.verdict() or ""]
        parts.append("\n\n".join([f"task {task}", *(part for part in tables if part)]))
    weights = (result.data.get("fit") or {}).get("task_weights") or {}
    if (result.recipe["data"] or {}).get("weights") == "uncertainty":
        parts.append("weights learnt: " + ", ".join(f"{task} {value:.4g}" for task, value in weights.items()))
    return "\n\n".join(parts)


def loading_snippet(recipe) -> str:
    """Return the Python lines that load the model from the Hub without this package.

    `MODEL` stands for a folder or a Hub id; a push puts the repository's name there (see `hub_card.named`).
    """
    task, names = next(iter(recipe.data.tasks)), ", ".join(recipe.data.tasks)
    images = recipe.backbone.modality == "image"
    reader = "AutoImageProcessor" if images else "AutoTokenizer"
    given = 'Image.open("photo.jpg").convert("RGB")' if images else '"a text", truncation=True'
    if getattr(recipe.data.tasks[task], "text_pair", None) is not None:
        given = '"a text", "the text beside it", truncation=True'
    lines = [
        *(["from PIL import Image"] if images else []),
        f"from transformers import AutoModel, {reader}",
        "",
        'model = AutoModel.from_pretrained("MODEL", trust_remote_code=True)  # MODEL: a folder or Hub id',
        f'read = {reader}.from_pretrained("MODEL", trust_remote_code=True)',
        f'print(model(**read({given}, return_tensors="pt"), task="{task}").logits)  # tasks: {names}',
    ]
    return "\n".join(lines)
