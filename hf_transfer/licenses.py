"""License ids and language codes as the Hub takes them in a card."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from .errors import UserError

# The table "Licenses" of the Hub's documentation; huggingface_hub holds no such list. The Hub refuses a card with
# another id.
LICENSES = tuple(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda
    cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
    cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
    agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl
    apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib
    pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3
    llama4 grok2-community gemma unknown other
    """.split()
)
_LANGUAGE = re.compile(r"[a-z]{2,3}")  # ISO 639-1, 639-2 or 639-3
_SPECIAL = ("code", "multilingual")


def settle_terms(license: str | None, language: str | Sequence[str] | None) -> tuple[str | None, list[str] | None]:
    """Return both as the Hub takes them; None stays None, which is for the base model's card to say."""
    return (
        None if license is None else check_license(license),
        None if language is None else check_language(language),
    )


def check_license(value: str) -> str:
    """Return a license id as the Hub spells it.

    Raises:
        `UserError`: the Hub knows no such license.
    """
    found = str(value).strip().lower()
    if found not in LICENSES:
        near = get_close_matches(found, LICENSES, n=3, cutoff=0.5) or ["apache-2.0", "mit", "cc-by-4.0"]
        raise UserError(
            f"--license is {value!r}, which is none of the {len(LICENSES)} ids that the Hub knows, such as "
            f"{', '.join(near)}; for one that is not among them give other, when it is not known unknown"
        )
    return found


def check_language(value: str | Sequence[str]) -> list[str]:
    """Return language codes as the Hub takes them.

    Args:
        value (`str` or `Sequence[str]`): ISO 639 codes of two or three letters, "code" or "multilingual"; a string may
            hold several with commas between.

    Raises:
        `UserError`: something else, such as a region (`en-US`) or a language's name.
    """
    codes = value.split(",") if isinstance(value, str) else list(value)
    codes = [str(code).strip().lower() for code in codes]
    wrong = next((code for code in codes if not is_language(code)), None)
    if wrong is not None or not codes:
        raise UserError(
            f"--language is {wrong if wrong is not None else value!r}; allowed are ISO 639 codes of two or three "
            f"letters with commas between, such as en or en,zh, and {' and '.join(_SPECIAL)}"
        )
    return list(dict.fromkeys(codes))


def is_language(code: object) -> bool:
    """Whether the Hub may take `code` as a language; which three letters name one it alone knows."""
    return isinstance(code, str) and (code in _SPECIAL or _LANGUAGE.fullmatch(code) is not None)
