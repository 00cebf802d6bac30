"""What went wrong between here and the Hub, in one line that says what to do next."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import UserError

LOG_IN = "log in with `hf auth login`, or set the environment variable HF_TOKEN"
_WRITE_ACCESS = f"a token with write access ({LOG_IN})"


@contextmanager
def told_in_one_line(repo_id: str, token: str, repeat: str) -> Iterator[None]:
    """Turn what the Hub's client raises into a `UserError`.

    Args:
        repo_id (`str`): the repository.
        token (`str`): to be kept out of every message: a server may repeat what it was sent.
        repeat (`str`): what to do once the cause is gone.

    Raises:
        `UserError`: one line: what happened, what to do, and that it is safe to repeat.
    """
    from huggingface_hub import errors

    HTTPError = errors.HTTPError  # that of the HTTP library under the client, which has changed once already
    try:
        yield
    except UserError:
        raise
    except (HTTPError, OSError, ValueError, RuntimeError, errors.OIDCError, errors.DeviceCodeError) as error:
        line = " ".join(f"{_told(_root(error, HTTPError), repo_id, HTTPError)}; {repeat}".split())
        said = "".join(traceback.format_exception(error))
        raise UserError(line.replace(token, "[token]")) from (None if token in said else error)


def _root(error: Exception, HTTPError: type[Exception]) -> Exception:
    """The answer of the server, where the client has wrapped it in an error that only says what it was doing."""
    wraps = isinstance(error, RuntimeError | OSError) and isinstance(error.__cause__, HTTPError)
    return error.__cause__ if wraps and not isinstance(error, HTTPError) else error


def _told(error: Exception, repo_id: str, HTTPError: type[Exception]) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        return _answered(error, repo_id)
    if isinstance(error, OfflineModeIsEnabled):
        return f"{constants.ENDPOINT} was not asked: offline mode is on (HF_HUB_OFFLINE=1, or no network was found)"
    if isinstance(error, HTTPError):
        return (
            f"the connection to {constants.ENDPOINT} failed or broke off ({_short(str(error))}): check the network, "
            "and HF_ENDPOINT and HTTPS_PROXY where they are set"
        )
    text = str(error)
    refusal = "Invalid metadata in README.md."
    if text.startswith(refusal):
        said = _short(text.removeprefix(refusal))
        return f"the Hub refuses the metadata at the top of README.md ({said}): mend it there"
    return f"the push to {repo_id} failed: {_short(text)}"


def _answered(error, repo_id: str) -> str:
    status, server = error.response.status_code, _short(error.server_message or "")
    said = f"{status}: {server}" if server else str(status)
    if status == 401:
        return f"the Hub does not accept the token ({said}): it is mistyped, expired or revoked; {LOG_IN}"
    if status in (402, 403):
        return (
            f"the token may not write to {repo_id} ({said}): name a repository of your own or of an organization you "
            f"may write to, and use {_WRITE_ACCESS}"
        )
    if status == 404:
        return f"the Hub finds no {repo_id} that this token may see ({said}): check the name, and use {_WRITE_ACCESS}"
    if status == 409 and str(error.response.url).endswith("/repos/create"):
        return f"the name {repo_id} is taken ({said}): choose another"
    if status in (409, 412):
        return f"somebody else is changing {repo_id} at this moment ({said})"
    if status == 429:
        wait = error.response.headers.get("Retry-After")
        return f"the Hub asks to slow down ({said}): wait {f'{wait} seconds' if wait else 'a few minutes'}"
    if status >= 500:
        return f"the Hub has a failure of its own ({said}): try again later"
    return f"the Hub refuses the push to {repo_id} ({said})"


def _short(text: str, limit: int = 200) -> str:
    text = " ".join(text.split()).strip(" .-")
    return text if len(text) <= limit else text[: limit - 3] + "..."
