"""Copies of a run's files that may be shown to anybody: the author's folders are gone from them.

A place on the author's disk becomes `./` and its last name. That says what the file was, can never be taken for a
Hub id, and is found again by whoever has a file of that name beside him.
"""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import UserError

_OURS = ("recipe.json", "results.json")
# Vocabularies are tokens, not settings: "/usr/lib" may be one.
_AS_THEY_ARE = ("tokenizer.json", "vocab.json", "added_tokens.json")
_LABELS = ("labels", "per_class", "id2label", "label2id")  # names of classes, whatever they look like
_CHUNK = 8 * 2**20  # bytes


def public_files(folder: Path, names: Sequence[str]) -> dict[str, bytes | Path]:
    """The files of a run as they may leave this machine.

    Args:
        folder (`Path`): of a finished run.
        names (`Sequence[str]`): of its files.

    Returns:
        `dict[str, bytes | Path]`: by name the new content, or the file itself where nothing had to go.
    """
    recipe, results = (_read(folder / name) for name in _OURS)
    paths, home = local_paths(recipe, results), os.path.expanduser("~")
    files: dict[str, bytes | Path] = {}
    for name in names:
        files[name] = folder / name
        if name.endswith(".json") and Path(name).name not in _AS_THEY_ARE:
            content = _read(folder / name)
            public = _public(content, paths, home, in_text=name in _OURS)
            if public != content:
                files[name] = (json.dumps(public, indent=2, ensure_ascii=False) + "\n").encode()
    return files


def local_paths(recipe: Mapping, results: Mapping) -> list[str]:
    """Every place on a disk that a recipe and its results name, longest first: the sources that did not come from the
    Hub, by `hub_sources` of results.json, and whatever else is an absolute path."""
    hub, data, backbone = results.get("hub_sources") or {}, recipe.get("data") or {}, recipe.get("backbone") or {}
    base = hub.get("base_model")
    from_hub = {*(base if isinstance(base, list) else [base]), *(hub.get("datasets") or [])}
    start = results.get("start_from") or {}
    each = list(data_sets(data).values())
    sources = [one.get("train") for one in each]
    sources += [part.get("checkpoint") for part in backbones(backbone).values()]
    sources += [] if start.get("revision") else [start.get("source")]  # what came from the Hub has a commit
    # Without a separator these two name a split of train's data set.
    others = [one.get(part) for one in each for part in ("validation", "test")]
    sources += [one for one in others if re.search(r"[/\\]", str(one))]
    sources += [one for part in ("strategy", "objective") for one in _teachers(recipe.get(part)) if is_path(one)]
    local = {one for one in sources if isinstance(one, str) and one.partition(":")[0] not in from_hub}
    absolute = {*_absolute_paths(recipe), *_absolute_paths(results)}
    return sorted(local | absolute, key=lambda path: (-len(path), path))


def data_sets(data: Mapping) -> dict[str, Mapping]:
    """The data sets in the data of a recipe, as JSON, by their places below it: those of a mixture's tasks, or the
    source and the target of two domains (the test rows are the target's); any other under no name."""
    if isinstance(data.get("tasks"), Mapping):
        return {f"tasks.{name}": task for name, task in data["tasks"].items()}
    if isinstance(data.get("source"), Mapping) and isinstance(data.get("target"), Mapping):
        return {"source": data["source"], "target": {**data["target"], "test": data.get("test")}}
    return {"": data}


def backbones(backbone: Mapping) -> dict[str, Mapping]:
    """The backbones in that of a recipe, as JSON: the parts of a fused one by name, any other under no name."""
    parts = backbone.get("parts")
    return dict(parts) if isinstance(parts, Mapping) else {"": backbone}


def _teachers(value: Any) -> Iterator[str]:
    """Every checkpoint that a part of a recipe names, however deep."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "checkpoint" and isinstance(inner, str):
                yield inner
            yield from _teachers(inner)


def without_places(value: Any, recipe: Mapping, results: Mapping) -> Any:
    """The same JSON, or line of text, as it may be shown to anybody: what a push makes of recipe.json."""
    return _public(value, local_paths(recipe, results), os.path.expanduser("~"), in_text=True)


def leak(content: bytes | Path, tokens: Collection[str]) -> str | None:
    """What of the author is in a file: "the path of your home folder", "your token", or None.

    Every byte is searched, those of weights and pictures too.
    """
    secrets = [one.encode() for one in tokens if len(one) > 7]  # less is no token, and may be any word
    homes = _spellings_of_home()
    longest = 1 + max(map(len, (*secrets, *homes)), default=0)
    before = b""
    for chunk in _chunks(content):
        window = before + chunk
        if any(one in window for one in secrets):
            return "your token"
        if any(_begins_a_path(window, one) for one in homes):
            return "the path of your home folder"
        before = window[-longest:]
    return None


def _begins_a_path(window: bytes, folder: bytes) -> bool:
    """Whether `folder` occurs, and not as the middle of a longer path: /root/ is nothing in /srv/root/."""
    place = window.find(folder)
    while place > 0 and re.match(rb"[\w.-]", window[place - 1 : place]):
        place = window.find(folder, place + 1)
    return place >= 0


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with open(content, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _spellings_of_home() -> list[bytes]:
    home = os.path.expanduser("~")
    found = set()
    for path in {home, os.path.realpath(home)}:
        # "/root" alone is an ordinary word of a vocabulary; "/root/" is a place.
        path = path if len(Path(path).parts) > 2 else path.rstrip("/\\") + os.sep
        if len(path) > 2 and os.path.isabs(path):
            found |= {path, path.replace("\\", "/"), *(json.dumps(path, ensure_ascii=a)[1:-1] for a in (True, False))}
    return [path.encode() for path in sorted(found)]


def _public(value: Any, paths: Sequence[str], home: str, in_text: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: entry if key in _LABELS else _public(entry, paths, home, in_text) for key, entry in value.items()}
    if isinstance(value, list):
        return [_public(entry, paths, home, in_text) for entry in value]
    if not isinstance(value, str):
        return value
    if value in paths and (in_text or is_path(value)):
        return _shortened(value)
    if in_text:
        for path in paths:
            bare = path.rstrip("/\\")
            if re.search(r"[/\\]", bare):
                value = value.replace(bare, _shortened(path))
    if len(Path(home).parts) > 1:
        under_home = rf"(?<![\w.-]){re.escape(home.rstrip('/'))}(?![\w.-])[^\s'\"`,;:()]*"
        value = re.sub(under_home, lambda found: _shortened(found.group()), value)
    return value


def _shortened(path: str) -> str:
    return f"./{last_name(path)}"


def _absolute_paths(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = [entry for key, entry in value.items() if key not in (*_LABELS, "summary", "notes")]
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _absolute_paths(entry)
    elif isinstance(value, str) and re.match(r"([A-Za-z]:|~)?[/\\]+[^/\\]+[/\\]", value):
        yield value


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def last_name(path: str) -> str:
    """The file or folder name at the end of a path of any system. A folder called just "model" says nothing, so then
    it is the one around it."""
    *around, name = re.split(r"[/\\]", path.rstrip("/\\"))
    return (around[-1] if name == "model" and around and around[-1] else name) or path


def is_path(source: str) -> bool:
    """Whether a checkpoint or data source is written as a place on a disk: absolute, relative to here or home, or
    with more separators than a Hub id has. `org/name` is taken for a Hub id."""
    if re.match(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]", source):
        return True
    return source.count("/") > 1 or source.endswith("/") or "\\" in source


def source_name(source) -> str | None:
    """What a source of rows is called in a result: of a place on a disk only the last name."""
    if source is None or isinstance(source, str):
        return last_name(source) if source is not None and is_path(source) else source
    return "rows in memory"
