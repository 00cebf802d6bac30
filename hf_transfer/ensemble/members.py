"""The finished runs that are averaged: the same model in all but its weights, or the first difference is told."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..data.mixture import TaskMixture
from ..data.spec import ImageClassification, TextClassification, TextImageClassification
from ..errors import UserError
from ..recipe import Recipe
from ..recipe_json import recipe_from_dict
from ..results import RunResult
from ..saved import check_classifier, load_saved_model
from ..scrub import is_path, last_name

# What config.json says of how a model was trained or saved, not of what it computes.
_FREE = ("_name_or_path", "transformers_version", "auto_map", "architectures", "dtype", "torch_dtype", "use_cache")
_FREE_PARTS = ("dropout", "drop_rate", "drop_path")


@dataclass(frozen=True)
class Member:
    """A finished run.

    Args:
        name (`str`): what it is called in messages and results.
        folder (`Path`): its output folder.
        recipe (`Recipe`): how it was made.
        result (`RunResult`): what it measured.
        trusted (`bool`): whether code that its checkpoint brought may be run.
    """

    name: str
    folder: Path
    recipe: Recipe
    result: RunResult
    trusted: bool

    def state(self) -> dict:
        """Load its parameters and buffers, by name, on the CPU."""
        return load_saved_model(self.folder, self.recipe.backbone.modality, self.trusted).state_dict()

    @cached_property
    def config(self) -> dict[str, Any]:
        """What config.json says of the architecture, by dotted name."""
        try:
            content = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder}: its config.json cannot be read: {error}") from error
        return dict(_flat(content))

    @cached_property
    def tensors(self) -> dict[str, tuple]:
        """Precision and shape of each saved tensor; only the files' headers are read."""
        from safetensors import SafetensorError, safe_open

        found = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="numpy") as file:
                    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                    found |= {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
            except SafetensorError as error:
                raise UserError(f"{path} cannot be read: {error}") from error
        if not found:
            raise UserError(f"{self.folder} holds no model.safetensors; average finished runs")
        return found

    @property
    def validation(self) -> dict[str, float]:
        """Its metrics on the validation rows."""
        return self.result.metrics["validation"]


def open_members(folders: Sequence[str | os.PathLike], trust_remote_code: bool = False) -> list[Member]:
    """Open finished runs that can be averaged.

    Args:
        folders (`Sequence[str]`): their output folders, two or more.
        trust_remote_code (`bool`): run code that their checkpoint brought.

    Raises:
        `UserError`: a folder is no finished run, or is named twice, or its data were in memory, or its model differs
            from the first one's: the first difference is named.
    """
    paths = [Path(folder) for folder in folders]
    if len(paths) < 2:
        raise UserError("an average takes two finished runs or more")
    for place, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:place]]:
            raise UserError(f"{path} is named twice; each run counts once in an average")
    members = [_open(path, name, trust_remote_code) for path, name in zip(paths, _names(paths), strict=True)]
    for member in members[1:]:
        _check_alike(members[0], member)
    return members


def _open(folder: Path, name: str, trusted: bool) -> Member:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the output folders of finished runs")
    result = RunResult.load(folder)
    check_classifier(folder, result.recipe)
    recipe = recipe_from_dict(result.recipe, where=str(folder / "recipe.json"))
    if isinstance(recipe.data, TaskMixture):
        raise UserError(
            f"{folder} has several tasks, and averages are of models with one; export the same task of each run "
            f"(hf-transfer export {folder} --task NAME), and average those"
        )
    if not isinstance(recipe.data, TextClassification | ImageClassification | TextImageClassification):
        raise UserError(f"{folder} was trained on two domains, and averages are of models of one")
    return Member(name, folder, recipe, result, trusted)


def _names(paths: Sequence[Path]) -> list[str]:
    """The last names of the folders, as many as tell them apart: the rest says where somebody keeps his files."""
    whole = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, whole))):
        names = ["/".join(parts[-count:]) for parts in whole]
        if len(set(names)) == len(names):
            break
    return names


def _check_alike(first: Member, other: Member) -> None:
    for what, here, there in (
        ("class names", first.result.data.get("labels"), other.result.data.get("labels")),
        ("problem type", first.result.problem_type, other.result.problem_type),
    ):
        if here != there:
            _refuse(first, other, what, here, there)
    # A field that only one version of transformers writes says nothing; whatever has weights is compared below.
    for field in sorted(first.config.keys() & other.config.keys()):
        if first.config[field] != other.config[field]:
            _refuse(first, other, f"config.json's {field}", first.config[field], other.config[field])
    for name in sorted(first.tensors.keys() | other.tensors.keys()):
        if first.tensors.get(name) != other.tensors.get(name):
            _refuse(first, other, f"weight {name}", _told(first.tensors.get(name)), _told(other.tensors.get(name)))
    here, there = first.recipe.backbone, other.recipe.backbone
    # Weights can be averaged because they went out from the same ones.
    went_on = any(Path(one.checkpoint).resolve() == first.folder.resolve() for one in _parts(there))
    if not went_on and _checkpoints(here) != _checkpoints(there):
        shown = [" + ".join(one.checkpoint for one in _parts(backbone)) for backbone in (here, there)]
        _refuse(first, other, "backbone.checkpoint", *shown)


def _refuse(first: Member, other: Member, what: str, here: Any, there: Any) -> None:
    raise UserError(f"{first.name} and {other.name} cannot be averaged: {what} is {here!r} and {there!r}")


def _told(tensor: tuple | None) -> str:
    return "missing" if tensor is None else f"{tensor[0]} {list(tensor[1])}"


def _parts(backbone) -> list:
    return list(getattr(backbone, "parts", {"": backbone}).values())


def _checkpoints(backbone) -> list[tuple]:
    return [
        (last_name(one.checkpoint) if is_path(one.checkpoint) else one.checkpoint, one.revision)
        for one in _parts(backbone)
    ]


def _flat(content: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if name in _FREE or any(part in name for part in _FREE_PARTS):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
