"""Push the demo page of a pushed model as a Space, in one commit."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from .adapter import CONFIG as ADAPTER
from .errors import UserError
from .hub_errors import told_in_one_line
from .hub_push import PushedCommit, check_name, client_of, quiet_client, token_for, visibility
from .results import RunResult
from .saved import check_classifier
from .scrub import leak
from .web.examples import Examples
from .web.space import FOLDER


@dataclass(frozen=True)
class Space:
    """A Space that is ready to be pushed, and where to.

    Args:
        folder (`Path`): of the run.
        repo_id (`str`, *optional*): `user/name`; by default the model's with `-demo` behind it.
        page (`dict`): what its page says.
        examples (`Examples`): inputs to try.
        source (`str`, *optional*): where they are from, as the user named it.
    """

    folder: Path
    repo_id: str | None
    page: dict
    examples: Examples
    source: str | None = None


@dataclass(frozen=True)
class PushedSpace:
    """Where a pushed Space is.

    Args:
        repo_id (`str`): `user/name`.
        url (`str`): address of its page.
        oid (`str`): hash of the commit that holds the files.
        new (`bool`): whether this push made it; False when the Space held the very same files already.
        needs_token (`bool`): the model is private, so the Space needs a secret to read it.
    """

    repo_id: str
    url: str
    oid: str
    new: bool
    needs_token: bool


def prepare_space(
    folder: str | os.PathLike, model_id: str, repo_id: str | None = None, examples: str | None = None
) -> Space:
    """Make everything of a Space that can be made before the model is pushed, so that mistakes are told first.

    Args:
        folder (`str`): the `output_dir` of a finished run.
        model_id (`str`): where the model will be pushed.
        repo_id (`str`, *optional*): of the Space; by default `model_id` with `-demo` behind it.
        examples (`str`, *optional*): a table, or a folder of images, with inputs to try; everybody sees them. By
            default nothing of the data is shown: a text model gets a few everyday sentences.

    Raises:
        `UserError`: the folder is no finished run, the name cannot be one, or a Space cannot show such a model.
    """
    from .web.examples import generic, named
    from .web.page import page_of
    from .web.space import check

    folder = Path(folder)
    result = RunResult.load(folder)
    check_classifier(folder, result.recipe)
    check_name(repo_id or f"{model_id}-demo")
    if (folder / ADAPTER).is_file():
        raise UserError(
            f"{folder} is an adapter, and the page of a Space loads whole models; train with strategy.merge true, or "
            "push without --space"
        )
    if "parts" in result.recipe["backbone"]:
        raise UserError(
            f"{folder} is a fused model, whose two networks no pipeline of transformers feeds, so a Space cannot show "
            f"it; on this machine `hf-transfer demo {folder}` can where both read texts, or both images"
        )
    page = page_of(result)
    check(page)
    page["trust_remote_code"] = any(name.endswith(".py") for name in result.data.get("files") or [])
    if examples is not None:
        found = named(result, examples)
    elif page["kind"] == "text" and len(page["inputs"]) == 1:
        found = generic(result.data.get("language") or [])
    else:
        found = Examples([], [])
    return Space(folder, repo_id, page, found, examples)


def push_space(
    space: Space, model: PushedCommit, *, private: bool | None = None, token: str | None = None
) -> PushedSpace:
    """Make or renew a Space that shows `model` as it is in its commit.

    Args:
        space ([`Space`]): of [`prepare_space`].
        model ([`PushedCommit`]): what pushing the run gave.
        private (`bool`, *optional*): visibility of the Space; by default a new one is as visible as its model.
        token (`str`, *optional*): by default the one of `hf auth login` or of the environment variable HF_TOKEN. It
            never reaches the Space.

    Raises:
        `UserError`: one line: what the Hub or the network refused, and what to do next. It is safe to repeat.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, constants

    from .web.space import space_files

    owner = model.repo_id.partition("/")[0]
    repo_id = space.repo_id or f"{model.repo_id}-demo"
    repo_id = repo_id if "/" in repo_id else f"{owner}/{repo_id}"
    token = token_for(token, repo_id)
    words = ["hf-transfer", "push", str(space.folder), model.repo_id, "--space", repo_id]
    words += ["--examples", space.source] if space.source else []
    again = shlex.join(words if private is None else [*words, "--hub_private_repo", str(private).lower()])
    repeat = f"the model is at {model.url}, and it is safe to push again: `{again}`"
    with told_in_one_line(repo_id, token, repeat), quiet_client():
        api = client_of(token)
        hidden = bool(api.model_info(model.repo_id).private)
        page = {**space.page, "model": model.repo_id, "revision": model.oid}
        files = space_files(page, space.examples, hidden, constants.ENDPOINT)
        for name, content in files.items():
            if found := leak(content, {token}):
                raise UserError(f"{name} of the Space would hold {found}, which nobody else should see")
        before = _space(api, repo_id, hidden if private is None else private, wanted=private)
        there = {one.rfilename for one in before.siblings or []}
        stale = sorted(name for name in there - set(files) if re.fullmatch(rf"{FOLDER}/\d+\.png", name))
        commit = api.create_commit(
            repo_id,
            [
                *(CommitOperationAdd(name, content) for name, content in files.items()),
                *(CommitOperationDelete(name, is_folder=False) for name in stale),
            ],
            commit_message=f"Show {model.repo_id} at {model.oid[:7]}",
            repo_type="space",
            parent_commit=before.sha,
        )
    return PushedSpace(
        repo_id, f"{constants.ENDPOINT}/spaces/{repo_id}", commit.oid, commit.oid != before.sha, needs_token=hidden
    )


def _space(api, repo_id: str, private: bool, wanted: bool | None):
    """The Space as it stands, made first when there is none; one that shows something else is left alone."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    try:
        found = api.space_info(repo_id)
    except RepositoryNotFoundError:
        try:
            api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private)
        except HfHubHTTPError as error:
            if error.response.status_code != 402:
                raise
            raise UserError(
                f"the Hub makes no Gradio Space for this account ({error.server_message or '402'}): it takes a "
                f"subscription; the model is pushed, and `hf-transfer demo` shows the page on this machine"
            ) from None
        return api.space_info(repo_id)
    if wanted is not None and found.private is not None and wanted != found.private:
        raise UserError(
            f"the Space {repo_id} exists and is {visibility(found.private)}, but a {visibility(wanted)} one was "
            "asked for; change it in its settings on the Hub, or name another by --space"
        )
    there = {one.rfilename for one in found.siblings or []}
    if "page.json" not in there and there - {"README.md", ".gitattributes"}:
        raise UserError(f"the Space {repo_id} exists and shows something else; name another: --space user/name")
    return found
