"""What [`run`] was asked for beside the recipe itself; the same for every kind of recipe."""

import json
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
        probe_budget (`bool`): see [`run`].
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
    probe_budget: bool = False

    @property
    def checkpoints(self) -> Path:
        """Where resume state goes."""
        return self.folder / folders.CHECKPOINTS

    @property
    def budgets(self) -> Path:
        """Where a probe writes down which batch budgets it took."""
        return self.checkpoints / "budgets.json"

    @property
    def settings(self) -> dict:
        """What must be the same when a stopped run goes on, beside the recipe and what was settled of it."""
        return {"probe_budget": True} if self.probe_budget else {}

    def publish(self, result: RunResult, card: str) -> None:
        """Complete what lies in the staging folder by `results.json` and the card, and put it into place; for the
        first process."""
        staging = result.output_dir
        if self.probe_budget and self.budgets.exists():
            found = json.loads(self.budgets.read_text(encoding="utf-8"))
            result.data["budget"] = found.get("", found)  # of a fused backbone by part
        result.data["files"] = sorted({*folders.files_of(staging), "README.md", "results.json"})
        result.save()
        (staging / "README.md").write_text(card, encoding="utf-8")
        folders.publish(self.folder, self.keep_checkpoints)
        result.output_dir = self.folder
