"""The two digit sets: whole, told apart by their size, and written once."""

import csv

import numpy as np
from PIL import Image

from hf_transfer import load_recipe
from hf_transfer.demo import demo_recipe
from hf_transfer.demo_domains import digit_folders


def test_both_domains_are_written_whole_and_once(tmp_path):
    folders = digit_folders(tmp_path / "digits")
    counts = {name: sum(1 for _ in folder.glob("*/*.png")) for name, folder in folders.items()}
    assert counts == {"scikit": 1797, "mnist": 5000}
    for name, side in (("scikit", 8), ("mnist", 28)):
        assert sorted(entry.name for entry in folders[name].iterdir()) == [str(digit) for digit in range(10)]
        with Image.open(next(folders[name].glob("3/*.png"))) as image:
            pixels = np.asarray(image)
        assert pixels.shape == (side, side) and pixels.max() > 200 and pixels.min() == 0
    marker = folders["scikit"] / "0/0000.png"
    before = marker.stat().st_mtime_ns
    assert digit_folders(tmp_path / "digits") == folders and marker.stat().st_mtime_ns == before
    assert sorted(entry.name for entry in (tmp_path / "digits").iterdir()) == ["mnist", "scikit"]
    # The first row of scikit-learn's table is a nought.
    from sklearn.datasets import load_digits

    assert np.array_equal(np.round(load_digits().images[0] * 255 / 16), np.asarray(Image.open(marker)))


def test_the_demo_says_its_own_domains():
    summaries = [demo_recipe(load_recipe(f"adaptation/coral_{kind}")).summary for kind in ("text", "image")]
    method = "source features given the target's mean and covariance"
    assert summaries == [f"short messages to long ones: {method}", f"MNIST to scikit-learn's digits: {method}"]


def test_a_text_demo_has_spam_to_learn_from_and_a_rate_that_learns():
    recipe = demo_recipe(load_recipe("adaptation/dann_text"))
    assert recipe.training["learning_rate"] == 1e-4 and recipe.training["num_train_epochs"] == 3
    domains = {}
    for name, spec in (("short", recipe.data.source), ("long", recipe.data.target)):
        with open(spec.train, newline="", encoding="utf-8") as file:
            domains[name] = [tuple(row.values()) for row in csv.DictReader(file, delimiter="\t")]
    assert not set(domains["short"]) & set(domains["long"])
    spam = {name: sum(label == "spam" for _, label in rows) for name, rows in domains.items()}
    lengths = {name: np.median([len(text) for text, _ in rows]) for name, rows in domains.items()}
    assert spam["short"] > 50 and 1.5 * lengths["short"] < lengths["long"]
    frozen = demo_recipe(load_recipe("adaptation/coral_text"))
    assert "learning_rate" not in frozen.training
