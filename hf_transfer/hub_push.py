"""Push a finished run to the Hub: once, in one commit, and only what is meant to be seen."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from . import folders
from .adapter import check_pushable
from .errors import UserError
from .hub_card import check_card, named
from .hub_errors import LOG_IN, told_in_one_line
from .scrub import leak, public_files

_NEEDED = ("README.md", "config.json", "recipe.json", "results.json")
# Weights, settings, tokenizers (.model is SentencePiece's) and the card's pictures; code only if it is our own.
_KINDS = (".safetensors", ".json", ".txt", ".model", ".jinja", ".png")
_TRAINER = ("trainer_state.json",)
_PICKLES = (b"\x80", b"PK\x03\x04")  # how a pickle and torch.save's archive begin, whatever the file is called
_CODE = Path(__file__).parent / "hub"


@dataclass(frozen=True)
class PushedCommit:
    """Where a pushed run is.

    Args:
        repo_id (`str`): `user/name`.
        url (`str`): address of the commit that holds the files.
        oid (`str`): its hash, which pins this state as a `revision`.
        new (`bool`): whether this push made it; False when the repository held the very same files already.
    """

    repo_id: str
    url: str
    oid: str
    new: bool


def push_folder(
    folder: str | os.PathLike, repo_id: str, *, private: bool | None = None, token: str | None = None
) -> PushedCommit:
    """Upload the output folder of a finished run in one commit; the folder itself is only read.

    What is uploaded are the files that results.json names, if each is of a kind that belongs to a model. Paths on
    this disk are cut to their last name (see `scrub`). Files that an earlier push of a run left there and this run
    does not have are removed in the same commit; other files of the repository stay.

    Args:
        folder (`str`): the `output_dir` of a run.
        repo_id (`str`): `user/name`, or `name` for one under the token's own user. Made when it does not exist.
        private (`bool`, *optional*): visibility of the repository; by default a new one is what the Hub makes it.
        token (`str`, *optional*): by default the one of `hf auth login` or of the environment variable HF_TOKEN.

    Returns:
        [`PushedCommit`]: the commit; `new` is False when nothing had changed.

    Raises:
        `UserError`: one line: `folder` is not a finished run or holds what must not be seen, or what the Hub or the
            network refused and what to do next. It is always safe to push again.
    """
    folder = Path(folder)
    check_name(repo_id)
    names = pushable(folder)
    token = token_for(token, repo_id)
    files = public_files(folder, names)
    tokens = {token, os.environ.get("HF_TOKEN", "")}
    for name, content in files.items():
        if found := leak(content, tokens):
            raise UserError(f"{folder / name} holds {found}, which nobody else should see; take it out, then push")

    again = shlex.join(["hf-transfer", "push", str(folder), repo_id])
    repeat = f"{folder} is as it was, and it is safe to push again: `{again}`"
    with told_in_one_line(repo_id, token, repeat), quiet_client():
        api = client_of(token)
        repo_id = repo_id if "/" in repo_id else f"{api.whoami()['name']}/{repo_id}"
        card = named((folder / "README.md").read_bytes().decode(), repo_id)
        check_card(card)  # before the repository is made or anything is uploaded
        files["README.md"] = card.encode()
        before = _repository(api, repo_id, private)
        commit = api.create_commit(
            repo_id,
            [*_additions(files), *_deletions(api, before, names)],
            commit_message=_message(folder),
            parent_commit=before.sha,  # refused if somebody else commits meanwhile, so `new` is never a guess
        )
    return PushedCommit(repo_id, str(commit.commit_url), commit.oid, new=commit.oid != before.sha)


def check_push(repo_id: str, *, token: str | None = None) -> str:
    """Ask the Hub, before hours of training, whether a push to `repo_id` can succeed; nothing is made there.

    Args:
        repo_id (`str`): `user/name`, or `name`.
        token (`str`, *optional*): as for `push_folder`.

    Returns:
        `str`: the name in full.

    Raises:
        `UserError`: there is no token, it may not write, or the name belongs to somebody else.
    """
    check_name(repo_id)
    token = token_for(token, repo_id)
    with (
        told_in_one_line(repo_id, token, "nothing was done yet; the same command can be given again"),
        quiet_client(),
    ):
        me = client_of(token).whoami()
    if ((me.get("auth") or {}).get("accessToken") or {}).get("role") == "read":
        raise UserError(f"the token of {me['name']} may only read; {LOG_IN} to one that may write")
    owner, _, name = repo_id.rpartition("/")
    known = [me["name"], *(one["name"] for one in me.get("orgs") or [])]
    if owner and owner.lower() not in map(str.lower, known):
        raise UserError(
            f"{repo_id} belongs to {owner}, and the token to {me['name']}; it may write under: {', '.join(known)}"
        )
    return f"{owner or me['name']}/{name}"


def pushable(folder: Path) -> list[str]:
    """Names of the files of a finished run, all of them fit to be pushed.

    Raises:
        `UserError`: the folder is not whole, or one of its files is nothing that belongs to a model.
    """
    names = _listed(folder)
    if (folder / folders.STAGING).exists():
        raise UserError(
            f"{folder / folders.STAGING} exists: a run is at work in {folder}, or was killed while it saved; let it "
            "end, or remove that folder if no run is alive"
        )
    check_pushable(folder)
    for name in names:
        path = folder / name
        if not folders.is_inside(name) or not path.is_file():
            raise UserError(f"{path} is no file of this folder, though results.json names it; run again (--overwrite)")
        _check_kind(path)
    return names


def _listed(folder: Path) -> list[str]:
    unfinished = f"{folder} is not the output folder of a finished run"
    try:
        content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{unfinished}: it holds no results.json") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{unfinished}: results.json cannot be read ({error})") from None
    if isinstance(content, dict) and "parts" in content:
        raise UserError(f"{folder} holds the runs of a pipeline; push one of the folders in it")
    names = content.get("files") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{unfinished}: its results.json does not say which files belong to it")
    absent = [name for name in _NEEDED if name not in names]
    if not any(name.endswith(".safetensors") for name in names):
        absent.append("model.safetensors")
    if absent:
        raise UserError(f"{unfinished}: its results.json does not name {', '.join(absent)}")
    return names


def _check_kind(path: Path) -> None:
    if path.suffix == ".py":
        own = _CODE / path.name
        if not own.is_file():
            raise UserError(f"{path} is not code of this package; code of others is not pushed")
        if own.read_bytes() != path.read_bytes():
            raise UserError(
                f"{path} differs from the file of hf-transfer-recipes {version('hf-transfer-recipes')}: it was "
                "changed, or made by another version; push with that version, or run again with --overwrite"
            )
    elif path.name in _TRAINER or (path.suffix not in _KINDS and path.name != "README.md"):
        raise UserError(f"{path} is not pushed: allowed are README.md, {', '.join(_KINDS)} and the package's own code")
    elif not _begins_as_it_should(path):
        raise UserError(f"{path} does not hold what its name says (a pickle may run code when it is read); not pushed")


def _begins_as_it_should(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(9)
    if path.suffix == ".safetensors":
        return start[8:] == b"{"  # after eight bytes of length, a header in JSON
    return start.startswith(b"\x89PNG") if path.suffix == ".png" else not start.startswith(_PICKLES)


def check_name(repo_id: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise UserError(
            f"{repo_id!r} cannot be the name of a repository; allowed is user/name, or just name, made of letters, "
            "digits, '-', '_' and '.', at most 96 of them"
        ) from None


def token_for(given: str | None, repo_id: str) -> str:
    from huggingface_hub import get_token

    if given is None:
        with told_in_one_line(repo_id, "[none]", f"{LOG_IN}, then push again"):
            given = get_token()
    if not given or not given.strip():
        raise UserError(f"a push needs a token of the Hub, and none was found: {LOG_IN}, then push again")
    if not re.fullmatch(r"[!-~]+", given.strip()):
        raise UserError(f"the token holds a space or a character that no token has; {LOG_IN}, then push again")
    return given.strip()


def client_of(token: str):
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="hf-transfer-recipes", library_version=version("hf-transfer-recipes"))


@contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the client's own warnings off the screen: they quote signed upload addresses, which are keys."""
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _repository(api, repo_id: str, private: bool | None):
    """The repository as it stands, made first when there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.model_info(repo_id)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=private)
        return api.model_info(repo_id)
    if private is not None and found.private is not None and private != found.private:
        raise UserError(
            f"{repo_id} exists and is {visibility(found.private)}, but a {visibility(private)} one was asked for; "
            "change it in its settings on the Hub, or push to another name"
        )
    return found


def visibility(private: bool) -> str:
    return "private" if private else "public"


def _additions(files: dict[str, bytes | Path]) -> list:
    from huggingface_hub import CommitOperationAdd

    # The client itself leaves out what the repository holds already, by content.
    return [
        CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
        for name, content in files.items()
    ]


def _deletions(api, before, names: list[str]) -> list:
    """What an earlier push left and this run does not have; stale shards or code would be loaded with the model."""
    import tempfile

    from huggingface_hub import CommitOperationDelete

    there = {one.rfilename for one in before.siblings or []}
    if "results.json" not in there:
        return []
    with tempfile.TemporaryDirectory() as place:
        path = api.hf_hub_download(before.id, "results.json", revision=before.sha, local_dir=place)
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError:
            return []  # not written by a run
    listed = content.get("files") if isinstance(content, dict) else None
    earlier = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    return [CommitOperationDelete(name, is_folder=False) for name in sorted(earlier & there - set(names))]


def _message(folder: Path) -> str:
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    headline = content.get("headline") or {}
    words = [f"Push {content.get('recipe') or 'a run'}"]
    if isinstance(headline.get("value"), int | float):
        words.append(f"{headline.get('split', 'test')} {headline['name']} {headline['value']:.4f}")
    return ", ".join(words)
