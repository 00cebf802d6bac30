"""An averaged model, saved and measured like any other run's."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from .. import folders
from ..card import draw, model_card
from ..card.paragraph import with_paragraph
from ..clock import Clock
from ..metrics import HEADLINE
from ..predictor import load
from ..report import environment, loading_snippet, measure
from ..results import RunResult
from ..saving import save_model
from .members import Member
from .workplace import Workplace

# What results.json says of one training, which an average has not been through, or of an earlier average.
_LEFT_OUT = ("fit", "history", "stages", "timing", "throughput", "pictures", "files", "seeds", "soup", "wise_ft")


class Account(NamedTuple):
    """How an average came about.

    Args:
        results (`dict[str, dict]`): what results.json says beside the figures.
        line (`str`): the same in one line, for its notes.
        about (`str`): the same in Markdown, for the card.
        seed (`int`, *optional*): of the training, where it was one.
        draw (`Callable[[Path], dict]`, *optional*): draws into a folder, and says what.
    """

    results: dict[str, dict]
    line: str
    about: str
    seed: int | None
    draw: Callable[[Path], dict] | None = None


@contextmanager
def claimed(output_dir: str | os.PathLike, overwrite: bool) -> Iterator[Path]:
    """Claim an output folder; nothing half done stays in it.

    Raises:
        `UserError`: it is not empty, and `overwrite` is not given.
    """
    folder = Path(output_dir)
    folders.claim(folder, resume=False, overwrite=overwrite)
    try:
        yield folder
    finally:
        shutil.rmtree(folder / folders.STAGING, ignore_errors=True)
        folders.give_back(folder)


def publish_average(folder: Path, place: Workplace, member: Member, account: Account, clock: Clock) -> RunResult:
    """Save the model that stands in `place`, measure what was saved, and publish it.

    Args:
        folder (`Path`): claimed.
        place (`Workplace`): holds the model, its processor and the rows.
        member (`Member`): whose recipe, checkpoint and license the average goes on with.
        account (`Account`): how it came about.
        clock (`Clock`): its times are told.

    Returns:
        [`RunResult`]: as results.json has it.
    """
    predictor, splits, staging = place.predictor, place.splits, folders.staging(folder)
    with clock("save"):
        save_model(predictor.model, predictor.processor, member.result.recipe, staging)
    with clock("evaluate"):
        measured = measure(
            load(staging, member.trusted), splits, member.recipe.metrics, HEADLINE[splits.labels.problem_type]
        )
    before = {key: value for key, value in member.result.data.items() if key not in _LEFT_OUT}
    result = RunResult(
        output_dir=staging,
        recipe_name=member.result.recipe_name,
        recipe=member.result.recipe,
        data={
            **before,
            "seed": account.seed,
            **measured,
            **account.results,
            "notes": [*before.get("notes", []), account.line, *place.notes],
            "timing": clock.seconds(),
            "environment": environment(SimpleNamespace(device=predictor.model.device), 1, {}),
        },
    )
    result.data["pictures"] = {**draw(result, staging), **(account.draw(staging) if account.draw else {})}
    result.data["files"] = sorted({*folders.files_of(staging), "README.md", "results.json"})
    result.save()
    card = model_card(result, loading_snippet(predictor.model, member.recipe))
    (staging / "README.md").write_text(with_paragraph(card, account.about), encoding="utf-8")
    folders.publish(folder)
    return RunResult.load(folder)
