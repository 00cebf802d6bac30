"""Whether the Python code that a checkpoint brings may be run: only when asked for, and only in a state that cannot
change.

transformers runs such code where a configuration names it in `auto_map`. A name like `modeling_x.Model` is a file of
the checkpoint itself, read at the checkpoint's own `revision`. A name like `user/other--modeling_x.Model` is a file of
another repository, and `revision` says nothing about that one: unless `code_revision` is passed, which then pins the
other repository and no longer this one, its newest state is fetched and run. So code of another repository is refused.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from .checkpoint import read_json

# The entries of `auto_map` that a run follows, by the file they stand in; timm's image processor needs none.
_FOLLOWED = {
    "config.json": ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification"),
    "tokenizer_config.json": ("AutoTokenizer",),
}


def check_trust(checkpoint: str, revision: str | None) -> None:
    """Check that the code of a checkpoint, which the user asked to run, is one that can be read first.

    Args:
        checkpoint (`str`): Hub id or folder.
        revision (`str`, *optional*): of a Hub id.

    Raises:
        `UserError`: a Hub id without a full commit hash, or code that lies in another repository.
    """
    if not Path(checkpoint).is_dir() and not re.fullmatch("[0-9a-f]{40}", revision or ""):
        raise UserError(
            f"--trust_remote_code runs the code of {checkpoint!r}, and backbone.revision is {revision!r}; allowed: "
            "the full hash of the commit whose code was read, 40 hex digits: add --backbone.revision COMMIT"
        )
    for name in _FOLLOWED:
        for reference in _references(read_json(checkpoint, name, revision, certain=True), _FOLLOWED[name]):
            other = reference.partition("--")[0]
            if "--" in reference and other != checkpoint:
                raise UserError(
                    f"{name} of checkpoint {checkpoint!r} takes its code from another repository, {other!r}, whose "
                    f"state backbone.revision does not pin; download both into one folder, write "
                    f"{reference.partition('--')[2]!r} there, and pass --backbone.checkpoint FOLDER"
                )


def is_foreign(thing) -> bool:
    """Whether the class of a configuration, model or tokenizer is code that a checkpoint brought."""
    return type(thing).__module__.partition(".")[0] == "transformers_modules"


def _references(content, keys: tuple[str, ...]) -> Iterator[str]:
    """The class names under `keys` of an `auto_map`; one of a tokenizer may be a pair, or stand there alone."""
    entries = content.get("auto_map") if isinstance(content, dict) else None
    if isinstance(entries, dict):
        entries = [entries.get(key) for key in keys]
    for entry in entries or ():
        yield from (one for one in (entry if isinstance(entry, list) else [entry]) if isinstance(one, str))
