"""License and language of a result: what the user says, else what the base model's own card says."""

import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..licenses import LICENSES, is_language

# An id that the Hub's table has not (yet) is written the way the Hub asks for: "other", and the name beside it.
_OTHER = "other"


def inherited_terms(
    base: str, revision: str | None, on_hub: bool, license: str | None, language: Sequence[str] | None
) -> tuple[dict[str, Any], list[str]]:
    """Settle under which license and for which languages a model is.

    Args:
        base (`str`): what the weights came from: a folder, or an id on the Hub.
        revision (`str`, *optional*): of it on the Hub.
        on_hub (`bool`): whether `base` is an id on the Hub.
        license (`str`, *optional*): one of `LICENSES`; it wins.
        language (`Sequence[str]`, *optional*): ISO 639 codes; they win.

    Returns:
        `tuple[dict, list[str]]`: for results.json `license`, `license_name` and `license_link` (both for "other"
        alone), `license_from` ("given", "base model" or None) and `language`; and notes on what could not be had.
    """
    notes: list[str] = []
    card: Mapping[str, Any] = {}
    if license is None or language is None:
        card = _front_matter(base, revision, on_hub, notes)
    terms = _license_of(card) if license is None else _terms(license, None, None, "given")
    languages = _languages_of(card, notes) if language is None else list(language)
    return {**terms, "language": languages}, notes


def shared_terms(
    origins: Sequence[tuple[str, str | None, bool]], license: str | None, language: Sequence[str] | None
) -> tuple[dict[str, Any], list[str]]:
    """The same for a model that came from several checkpoints: a license that all have, the languages of any.

    Args:
        origins (`Sequence[tuple]`): `base`, `revision` and `on_hub` of each.
    """
    found, notes = zip(*(inherited_terms(*one, license, language) for one in origins), strict=True)
    terms, remarks = dict(found[0]), list(dict.fromkeys(line for lines in notes for line in lines))
    terms["language"] = list(dict.fromkeys(code for one in found for code in one["language"]))
    licenses = list(dict.fromkeys(one["license"] for one in found))
    if len(licenses) > 1:
        terms |= _terms("unknown", None, None, None)
        remarks.append(
            f"license: the checkpoints are under {' and '.join(licenses)}; --license says what this model is under"
        )
    return terms, remarks


def _terms(license: str, name: str | None, link: str | None, source: str | None) -> dict[str, Any]:
    return {"license": license, "license_name": name, "license_link": link, "license_from": source}


def _license_of(card: Mapping[str, Any]) -> dict[str, Any]:
    found = card.get("license")
    ids = [str(one).strip().lower() for one in (found if isinstance(found, list) else [found]) if one]
    if not ids or ids == ["unknown"]:
        return _terms("unknown", None, None, None)
    if len(ids) == 1 and ids[0] in LICENSES and ids[0] != _OTHER:
        return _terms(ids[0], None, None, "base model")
    name = card.get("license_name") if ids == [_OTHER] else " ".join(ids)
    link = card.get("license_link")
    # A link within the base model's repository would lead nowhere from here.
    link = link if isinstance(link, str) and link.startswith("https://") else None
    name = re.sub(r"[^a-z0-9.]+", "-", str(name).lower()).strip("-") if name else None
    return _terms(_OTHER, name, link, "base model")


def _languages_of(card: Mapping[str, Any], notes: list[str]) -> list[str]:
    found = card.get("language")
    # A YAML 1.1 reader takes Norwegian's "no" for False.
    codes = ["no" if one is False else one for one in (found if isinstance(found, list) else [found])]
    strange = [str(one) for one in codes if one is not None and not is_language(one)]
    if strange:
        notes.append(f"language: the base model's card names {', '.join(strange)}, which is no ISO 639 code; left out")
    return [one for one in codes if is_language(one)]


def _front_matter(base: str, revision: str | None, on_hub: bool, notes: list[str]) -> dict[str, Any]:
    """What the metadata at the top of the base model's README.md say; {} when there is none."""
    import yaml
    from huggingface_hub import metadata_load

    try:
        path = _downloaded(base, revision) if on_hub else Path(base).expanduser() / "README.md"
        return (metadata_load(path) or {}) if path is not None and path.is_file() else {}
    except _unreachable() as error:
        reason = "offline" if _is_offline() else (str(error).strip().splitlines() or [type(error).__name__])[0]
    except (ValueError, yaml.YAMLError) as error:
        reason = f"no metadata: {str(error).splitlines()[0]}"
    what = f"of {base}" if on_hub else "beside the checkpoint"
    notes.append(
        f"license and language: the card {what} could not be read ({reason}), so they are unknown unless "
        "--license and --language say them"
    )
    return {}


def _downloaded(base: str, revision: str | None) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        with _no_bar():
            return Path(hf_hub_download(base, "README.md", revision=revision))
    except LocalEntryNotFoundError:
        raise  # neither here nor reachable
    except EntryNotFoundError:
        return None  # a repository without a card


def _unreachable() -> tuple[type[Exception], ...]:
    """What reading a file raises, also one on the Hub."""
    from huggingface_hub.errors import HTTPError

    return (HTTPError, OSError)


def _is_offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


@contextmanager
def _no_bar():
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()
