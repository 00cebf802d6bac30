"""License ids and language codes: what the Hub takes is taken, the rest is told with what is near."""

import re

import pytest

from hf_transfer import UserError
from hf_transfer.licenses import LICENSES, check_language, check_license, settle_terms


def test_what_the_hub_knows_is_taken_as_it_spells_it():
    assert len(set(LICENSES)) == len(LICENSES) >= 72
    assert {"apache-2.0", "mit", "cc-by-nc-sa-4.0", "openrail++", "llama3.1", "unknown", "other"} <= set(LICENSES)
    assert all(re.fullmatch(r"[a-z0-9.+-]+", one) for one in LICENSES)
    assert [check_license(one) for one in LICENSES] == list(LICENSES)
    assert check_license(" Apache-2.0 ") == "apache-2.0"


@pytest.mark.parametrize(
    ("given", "near"), [("apache2", "apache-2.0"), ("CC-BY", "cc-by-"), ("", "mit"), ("§", "mit")]
)
def test_another_license_is_told_with_those_near_it(given, near):
    with pytest.raises(UserError) as told:
        check_license(given)
    line = str(told.value)
    assert repr(given) in line and near in line and "other" in line and "unknown" in line and "\n" not in line


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ("en", ["en"]),
        ("en, ZH,en", ["en", "zh"]),
        (["no"], ["no"]),
        (("deu", "multilingual"), ["deu", "multilingual"]),
    ],
)
def test_languages(given, codes):
    assert check_language(given) == codes


@pytest.mark.parametrize("given", ["english", "en-US", "", "en,", [], ["en", "x"], ["1e"]])
def test_what_is_no_language_code(given):
    with pytest.raises(UserError, match="--language is .*two or three letters"):
        check_language(given)


def test_what_is_not_given_stays_open():
    assert settle_terms(None, None) == (None, None)
    assert settle_terms("MIT", "en,de") == ("mit", ["en", "de"])
