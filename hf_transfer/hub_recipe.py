"""The recipe of a pushed run, `hub://user/name`: its `recipe.json` alone is downloaded, and only read."""

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError
from .hub_errors import LOG_IN
from .recipe import Recipe
from .recipe_json import recipe_from_dict
from .untrusted import NEEDED, Ignored, take, valid_revision

PREFIX = "hub://"
_FILE = "recipe.json"
_LARGEST = 1_000_000  # bytes; a real one has about two thousand
_READING = ("text", "text_pair", "image", "label", "label_separator", "problem_type", "sep", "header", "encoding")


@dataclass(frozen=True)
class Address:
    """Where a pushed run is.

    Args:
        repo_id (`str`): `user/name`.
        revision (`str`, *optional*): branch, tag or commit; by default the newest state.
    """

    repo_id: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo_id}" + (f"@{self.revision}" if self.revision else "")

    @property
    def run_name(self) -> str:
        """What a run of it is called: `user-name`, fit for a folder."""
        return self.repo_id.replace("/", "-")


@dataclass(frozen=True)
class HubRecipe:
    """A recipe from the Hub, and what was not taken of it.

    Args:
        address (`Address`): where it is.
        recipe (`Recipe`): with a text of [`untrusted.NEEDED`] in the place of a source that was not taken.
        ignored (`tuple[Ignored, ...]`): what was not taken.
    """

    address: Address
    recipe: Recipe
    ignored: tuple[Ignored, ...]

    def lines(self) -> list[str]:
        """One line for each value that was not taken, and the flag that sets it anew."""
        return [f"ignored from {self.address}: {one}" for one in self.ignored]

    def check_complete(self, recipe: Recipe) -> None:
        """Check that `recipe`, this one with the user's own values in it, has its data and its checkpoint.

        Raises:
            `UserError`: one line with the flags that are still needed, and the columns that the author's data had.
        """
        was = {one.field: one.value for one in self.ignored}
        needed = []
        if recipe.data.train == NEEDED["data.train"]:
            needed.append(self._data_flags(was["data.train"]))
        for name, part in getattr(recipe.backbone, "parts", {}).items():
            place = f"backbone.parts.{name}.checkpoint"
            if part.checkpoint == f"<set --{place}>":
                needed.append(f"--{place} NAME (it was {was[place]!r})")
        for name, one in _inner_data(recipe.data).items():
            place = f"data.{name}.train"
            if one.train == f"<set --{place}>":
                needed.append(f"--{place} FILE (it was {was[place]!r})")
        if getattr(recipe.backbone, "checkpoint", None) == NEEDED["backbone.checkpoint"]:
            own = f"--backbone.checkpoint {self.address.repo_id}"
            own += f" --backbone.revision {self.address.revision}" if self.address.revision else ""
            needed.append(
                f"--backbone.checkpoint NAME (it was {was['backbone.checkpoint']!r}; `{own}` starts from the encoder "
                "that was pushed)"
            )
        if needed:
            raise UserError(f"{self.address} was made from what is not on the Hub; give {', and '.join(needed)}")

    def _data_flags(self, was: Any) -> str:
        data = self.recipe.data
        if isinstance(was, str) and self.recipe.data_modality == "image" and not Path(was).suffix:
            return f"--data.train FOLDER (it was {was!r}, one folder of images per class)"
        defaults = {f.name: f.default for f in dataclasses.fields(data)}
        flags = "".join(
            f" --data.{name} {_typed(getattr(data, name))}"
            for name in _READING
            if hasattr(data, name) and getattr(data, name) != defaults[name]
        )
        return f"--data.train FILE{flags} (it was {was!r}" + (", with these columns)" if flags else ")")


def _inner_data(data) -> dict[str, Any]:
    """The data sets of several tasks or of two domains, by their places."""
    if hasattr(data, "tasks"):
        return {f"tasks.{name}": task for name, task in data.tasks.items()}
    return {name: getattr(data, name) for name in ("source", "target") if hasattr(data, name)}


def is_address(name: Any) -> bool:
    """Whether a recipe's name means the Hub."""
    return isinstance(name, str) and name.startswith(PREFIX)


def parse_address(text: str) -> Address:
    """Read `hub://user/name` or `hub://user/name@revision`.

    Raises:
        `UserError`: it is neither.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    repo_id, at, revision = text.removeprefix(PREFIX).partition("@")
    try:
        validate_repo_id(repo_id)
        sound = "/" in repo_id and (valid_revision(revision) if at else True)
    except HFValidationError:
        sound = False
    if not sound:
        raise UserError(
            f"{text!r} is no address of a recipe; allowed: hub://user/name, or hub://user/name@REVISION with a "
            "branch, tag or commit"
        )
    return Address(repo_id, revision or None)


def fetch(text: str) -> HubRecipe:
    """Download a pushed run's `recipe.json`, nothing else, and take of it what may be taken.

    Args:
        text (`str`): `hub://user/name`, or with `@revision` behind it.

    Raises:
        `UserError`: one line: there is no such model or file, the Hub cannot be reached, or the file is no recipe.
    """
    address = parse_address(text)
    where = f"{_FILE} of {address}"
    raw = _download(address, where)
    try:
        content = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where} is not JSON ({' '.join(str(error).split())[:100]}); it was not written by a run"
        ) from error
    kept, ignored = take(content, where)
    try:
        recipe = recipe_from_dict(kept, where)
    except UserError as error:
        if str(error).startswith(where):
            raise
        raise UserError(f"{where}: {error}") from error
    return HubRecipe(address, recipe, ignored)


def _download(address: Address, where: str) -> bytes:
    """Return the file's content.

    The Hub is asked first whether it gives the file and how large it is: the client alone would take an older one from
    its cache where the Hub refuses. In offline mode the cache is what is wanted.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, is_offline_mode
    from huggingface_hub.utils import silent_tqdm

    with _told_in_one_line(address, where):
        if not is_offline_mode():
            found = get_hf_file_metadata(hf_hub_url(address.repo_id, _FILE, revision=address.revision))
            _check_size(found.size or 0, where)
        path = hf_hub_download(address.repo_id, _FILE, revision=address.revision, tqdm_class=silent_tqdm)
        content = Path(path).read_bytes()
    _check_size(len(content), where)
    return content


def _check_size(size: int, where: str) -> None:
    if size > _LARGEST:
        raise UserError(f"{where} has {size:,} bytes; a recipe has less than {_LARGEST:,}, so this is something else")


def _typed(value: Any) -> str:
    """Write a value as it is typed in a shell."""
    if isinstance(value, bool):
        return str(value).lower()
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return shlex.quote(text.replace("\t", "\\t"))


# ---------------------------------------------------------------------------------------------------------------------
# What can go wrong on the way


@contextmanager
def _told_in_one_line(address: Address, where: str) -> Iterator[None]:
    from huggingface_hub import get_token
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except UserError:
        raise
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        line = " ".join(_told(error, address, where).split())
        token = get_token()
        if token and token in f"{line}{error}":  # a server may repeat what it was sent
            raise UserError(line.replace(token, "[token]")) from None
        raise UserError(line) from error


def _told(error: Exception, address: Address, where: str) -> str:
    from huggingface_hub import constants, errors, get_token

    repo_id, endpoint = address.repo_id, constants.ENDPOINT
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # it says only that there is nothing in the cache either
    match error:
        case errors.GatedRepoError():
            return f"{repo_id} is open to those who asked: ask at {endpoint}/{repo_id}, then {LOG_IN}"
        case errors.RepositoryNotFoundError():
            if get_token():
                return f"the Hub finds no model {repo_id} that your token may see: check the name"
            return f"the Hub finds no model {repo_id}: check the name, and if it is private {LOG_IN}"
        case errors.RevisionNotFoundError():
            return f"{repo_id} has no revision {address.revision!r}; name a branch, tag or commit of it, or none"
        case errors.EntryNotFoundError() if not isinstance(error, errors.LocalEntryNotFoundError):
            return (
                f"{repo_id} holds no {_FILE}, so no run of this package was pushed there; take a recipe of "
                f"`hf-transfer list` with --backbone.checkpoint {repo_id} to start from that model"
            )
        case errors.OfflineModeIsEnabled():
            return (
                f"{where} is not in the cache, and {endpoint} was not asked: offline mode is on (HF_HUB_OFFLINE=1, or "
                "no network was found)"
            )
        case errors.HfHubHTTPError():
            return _answered(error.response.status_code, error.server_message or "", where)
        case errors.HTTPError():
            return (
                f"the connection to {endpoint} failed or broke off ({_short(str(error))}): check the network, and "
                "HF_ENDPOINT and HTTPS_PROXY where they are set"
            )
    return f"{where} cannot be had: {_short(str(error))}"


def _answered(status: int, server: str, where: str) -> str:
    said = f"{status}: {_short(server)}" if server else str(status)
    if status == 401:
        return f"the Hub does not accept the token ({said}): it is mistyped, expired or revoked; {LOG_IN}"
    if status == 403:
        return f"the Hub does not let this token read {where} ({said}); {LOG_IN} with one that may"
    if status == 429:
        return f"the Hub asks to slow down ({said}): wait a few minutes, then give the same command again"
    if status >= 500:
        return f"the Hub has a failure of its own ({said}): try again later"
    return f"the Hub does not give {where} ({said})"


def _short(text: str, limit: int = 200) -> str:
    text = re.sub(r"\s+", " ", text).strip(" .-")
    return text if len(text) <= limit else text[: limit - 3] + "..."
