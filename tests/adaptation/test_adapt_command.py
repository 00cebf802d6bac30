"""`hf-transfer adapt` on real files: features once, every cheap method, a ranking without target labels."""

import re

import pytest
from mini import mini_image_checkpoint, write_images

from hf_transfer import cli


@pytest.fixture
def adapt(places, plain_text, capsys):
    def call(*words: str) -> tuple[int, str]:
        start = ["adapt", "--source", str(places["source"]), "--backbone", str(plain_text)]
        status = cli.main([*start, "--backbone.max_length", "32", *words])
        return status, capsys.readouterr().out

    return call


def ranked(text: str) -> list[str]:
    table = text[text.index("method") :].splitlines()[2:]
    return [line.split()[0] for line in table[: table.index("")]]


def test_the_methods_are_ranked_and_the_test_rows_have_no_say(adapt, places, tmp_path):
    status, said = adapt("--target", str(places["unlabelled"]), "--test", str(places["test"]))
    assert status == 0
    methods = ranked(said)
    assert {"source_only", "scale", "coral", "kmm", "kliep", "density_ratio", "self_training"} <= set(methods)
    assert not {"tradaboost", "target_only"} & set(methods)
    assert f"chosen       {methods[0]}, by mutual information" in said and "target accuracy" in said
    values = [float(line.split()[1]) for line in said[said.index("method") :].splitlines()[2 : 2 + len(methods)]]
    assert values == sorted(values, reverse=True)
    # Without test rows, and with features that lie in the cache now, the order is the same.
    status, again = adapt("--target", str(places["unlabelled"]))
    assert status == 0 and ranked(again) == methods and "target accuracy" not in again
    assert re.search(r"features 0\.\d s", again)
    # What it comes to is said where it can be known, and how far the domains lie apart in any case.
    assert re.search(r"(Helped|No difference|Negative transfer).*: target accuracy", said)
    assert "from the source alone" not in again
    for text in (said, again):
        assert re.search(r"A-distance   \d\.\d\d as recorded, \d\.\d\d after scale, \d\.\d\d after coral", text)


def test_every_method_says_how_to_train_it():
    from hf_transfer import list_recipes
    from hf_transfer.adaptation.cheap import METHODS
    from hf_transfer.commands.adapting import OTHERS, RECIPES

    assert sorted([*RECIPES, *OTHERS]) == sorted(METHODS)
    named = re.findall(r"adaptation/\w+_{kind}", " ".join([*RECIPES.values(), *OTHERS.values()]))
    assert named and {one.format(kind=kind) for one in named for kind in ("text", "image")} <= set(list_recipes())


def test_labels_of_the_target_bring_more_methods(adapt, places):
    status, said = adapt("--target", str(places["partly"]), "--target_labels")
    assert status == 0 and {"tradaboost", "target_only"} <= set(ranked(said))


def test_pictures(tmp_path, capsys):
    source, target = write_images(tmp_path / "source", count=16), write_images(tmp_path / "target", count=16)
    net = mini_image_checkpoint(tmp_path / "net")
    words = ["adapt", "--source", str(source), "--target", str(target), "--test", "0.25", "--backbone", str(net)]
    assert cli.main([*words, "--backbone.image_size", "64"]) == 0
    assert "coral" in ranked(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--target is missing"),
        (["--target", "no.csv"], "no.csv: there is no such file"),
        (["--target", "a.csv", "--align", "coral"], "unknown flag --align"),
        (["--target", "TARGET", "--criterion", "luck"], "criterion is 'luck'"),
    ],
)
def test_what_is_wrong_is_told(words, message, adapt, places, capsys):
    words = [str(places["target"]) if word == "TARGET" else word for word in words]
    status = cli.main(["adapt", "--source", str(places["source"]), *words]) if "TARGET" not in words else None
    status, _ = adapt(*words) if status is None else (status, None)
    assert status == 2
