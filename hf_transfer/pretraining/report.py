"""What a pretraining run says before it starts and when it has ended."""

from ..results import RunResult, align, duration, title

DROPPED = {
    "empty": "rows without text",
    "broken": "damaged files or no images",
    "duplicates": "copies of another row",
    "leaked": "train rows that repeat in validation",
    "held_out": "rows that are validation or test rows of the target",
}


def describe(name: str | None, opened) -> list[str]:
    """Return the lines that tell what is about to be learnt, on what and in which precision."""
    recipe, splits = opened.recipe, opened.splits
    strategy = type(recipe.strategy).__name__
    return [
        f"{name or 'recipe'}: {recipe.summary}",
        f"  backbone   {recipe.backbone.checkpoint}",
        f"  head       {type(recipe.head).__name__}",
        f"  strategy   {strategy}; {opened.trainable:,} of {opened.total:,} parameters train",
        f"  dtype      train: {opened.dtype.dtype} ({opened.dtype.reason})",
        f"  rows       {len(splits.train):,} train, {len(splits.validation):,} validation; no labels",
        f"  dropped    {dropped(splits.dropped)}",
        *(f"  note       {note}" for note in (*splits.notes, *opened.task.lines)),
    ]


def dropped(counts: dict[str, int]) -> str:
    """Say which rows were left out and why."""
    return ", ".join(f"{count:,} {DROPPED[why]}" for why, count in counts.items() if count) or "none"


def score_rows(result: RunResult) -> list[list[str]]:
    """Return the validation figures as text: a row of titles, then before and after."""
    names = list(result.metrics["validation"])
    moments = (("before", "before training"), ("validation", "after, as saved"))
    return [
        ["validation", *map(title, names)],
        *([shown, *(f"{result.metrics[key][name]:.4f}" for name in names)] for key, shown in moments),
    ]


def table(result: RunResult) -> str:
    """Return the plain text a run ends with."""
    data = result.data
    times = ", ".join(f"{name.removesuffix('_s')} {duration(s)}" for name, s in data["timing"].items())
    return f"{align(score_rows(result))}\n\ndropped  {dropped(data['data']['dropped'])}\ntime     {times}"


def next_step(folder, modality: str) -> str:
    """Return the lines that say where the backbone is and what it is for."""
    recipe = "text/full_finetune" if modality == "text" else "vision/full_finetune"
    return (
        f"The backbone is in {folder}\n"
        f"  use     hf-transfer run {recipe} --backbone.checkpoint {folder} --data.train FILE\n"
        f"  share   hf-transfer push {folder} user/name"
    )
