"""What [`run`] was asked for beside the recipe itself; the same for every kind of recipe."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from accelerate import PartialState

from . import folders
from .clock import Clock
from .results import RunResult


@dataclass(frozen=True)
class Order:
    """One call of [`run`], its output folder claimed.

    Args:
        folder (`Path`): where the result goes.
        name (`str`, *optional*): of the recipe.
        resume (`bool`), keep_checkpoints (`bool`), trust_remote_code (`bool`), start_from (`str`, *optional*),
            dtype (`str`): see [`run`].
        terms (`tuple`): license and language of the model, as they were given.
        state (`accelerate.PartialState`): this process among its like.
        say (`Callable[[str], None]`): tells the user; silent on all processes but the first.
        clock (`Clock`): takes down where the time goes.
    """

    folder: Path
    name: str | None
    resume: bool
    keep_checkpoints: bool
    trust_remote_code: bool
    start_from: str | None
    dtype: str
    terms: tuple
    state: PartialState
    say: Callable[[str], None]
    clock: Clock = field(default_factory=Clock)

    @property
    def checkpoints(self) -> Path:
        """Where resume state goes."""
        return self.folder / folders.CHECKPOINTS

    def publish(self, result: RunResult, card: str) -> None:
        """Complete what lies in the staging folder by `results.json` and the card, and put it into place; for the
        first process."""
        staging = result.output_dir
        result.data["files"] = sorted({*folders.files_of(staging), "README.md", "results.json"})
        result.save()
        (staging / "README.md").write_text(card, encoding="utf-8")
        folders.publish(self.folder, self.keep_checkpoints)
        result.output_dir = self.folder
