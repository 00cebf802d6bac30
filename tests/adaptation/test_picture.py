"""The picture of both domains: the same bytes, and the right axes."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from hf_transfer.adaptation import picture
from hf_transfer.adaptation.picture import Place, draw_domains, two_dimensions
from hf_transfer.errors import UserError

DRAW = np.random.default_rng(0)
LABELS = DRAW.integers(0, 3, 90)
SOURCE = DRAW.normal(size=(90, 6)) + 5 * np.eye(6)[LABELS]
TARGET = DRAW.normal(size=(40, 6)) + 9


def test_the_picture_is_whole_and_the_same_every_time(tmp_path):
    places = {"before": Place(SOURCE, LABELS, TARGET), "after": Place(SOURCE + 9, LABELS, TARGET)}
    for name in ("a.svg", "b.svg"):
        draw_domains(places, tmp_path / name, ["ham & eggs", "$5 spam$", "<x>"])
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    ElementTree.fromstring(text)
    assert "<dc:date>" not in text
    assert text.count('id="PathCollection') == 4  # a target and a source in each panel
    draw_domains({"one": places["before"]}, tmp_path / "c.svg")
    assert (tmp_path / "c.svg").read_text().count('id="PathCollection') == 2


def test_the_axes_are_principal_components_of_both_domains():
    spread = np.zeros((200, 5))
    spread[:, 3], spread[:, 1] = np.linspace(-9, 9, 200), np.tile([2.0, -2.0], 100)
    spread[:, 0] = 0.01 * DRAW.normal(size=200)
    source, target = two_dimensions(spread, spread + 0.5)
    assert np.corrcoef(source[:, 0], spread[:, 3])[0, 1] == pytest.approx(1, abs=1e-3)
    assert abs(np.corrcoef(source[:, 1], spread[:, 1])[0, 1]) == pytest.approx(1, abs=1e-2)
    # Distances along the axes are those of the features.
    assert np.ptp(source[:, 0]) == pytest.approx(18, rel=0.01)
    assert target.shape == (200, 2)


def test_a_domain_counts_alike_whatever_its_rows_and_few_of_many_are_drawn(monkeypatch):
    few, many = two_dimensions(SOURCE, TARGET), two_dimensions(SOURCE, np.tile(TARGET, (5, 1)))
    np.testing.assert_allclose(few[0], many[0], atol=1e-9)
    monkeypatch.setattr(picture, "MOST", 10)
    source, target = two_dimensions(SOURCE, TARGET)
    assert (len(source), len(target)) == (10, 10)
    assert two_dimensions(np.ones((4, 1)), np.zeros((3, 1)))[0].shape == (4, 2)


def test_nothing_to_draw_is_told(tmp_path):
    with pytest.raises(UserError, match="no features to draw"):
        draw_domains({}, tmp_path / "x.svg")
    with pytest.raises(UserError, match="same backbone"):
        draw_domains({"x": Place(SOURCE, LABELS, TARGET[:, 1:])}, tmp_path / "x.svg")
