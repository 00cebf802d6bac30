"""The card of real runs: its loading lines run, its pictures lie beside it, its figures are those of the results."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from card_rules import problems
from mini import make_texts, write_csv

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
)
from hf_transfer.hub_card import named
from hf_transfer.results import RunResult


def snippet_of(folder: Path) -> str:
    (found,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return found


def answers(folder: Path, capsys, repo_id: str | None = None) -> str:
    """Run the loading lines as they stand in the card and return what they print."""
    source = snippet_of(folder)
    assert 'model="MODEL"' in source
    source = named(source, str(folder)) if repo_id is None else source.replace("MODEL", str(folder))
    capsys.readouterr()
    exec(compile(source, "README.md", "exec"), {})
    return capsys.readouterr().out


def text_recipe(mini_text, data, head, strategy, **training) -> Recipe:
    return Recipe(
        summary="a test",
        data=data,
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=head,
        strategy=strategy,
        training=dict(learning_rate=1e-2, num_train_epochs=2, per_device_train_batch_size=16, **training),
    )


def test_texts_by_gradient_descent(tmp_path, mini_text, reviews, capsys):
    data = TextClassification(str(reviews), text="body", label="stars")
    recipe = text_recipe(mini_text, data, LSTMHead(4, 1), FrozenFeatures())
    result = run(recipe, tmp_path / "out", license="cc-by-4.0", language="en", num_train_epochs=3)
    assert {"confusion_matrix.png", "training_curve.png", "README.md"} <= set(result.data["files"])
    assert set(result.data["files"]) == {path.name for path in (tmp_path / "out").iterdir()}
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "![" in card and "(confusion_matrix.png)" in card and "(training_curve.png)" in card
    assert "license: cc-by-4.0\n" in card and "language:\n- en\n" in card
    assert problems(card) == ([], [])
    assert str(tmp_path) not in card and str(mini_text.parent) not in card

    history = result.data["history"]
    assert [entry["epoch"] for entry in history] == [1.0, 2.0, 3.0]
    assert all(entry["train_loss"] > 0 and entry["validation"]["loss"] > 0 for entry in history)
    assert all(set(entry["validation"]) == set(result.metrics["validation"]) for entry in history)
    assert history[0]["learning_rate"] > history[-1]["learning_rate"]
    best = min(history, key=lambda entry: entry["validation"]["loss"])
    assert result.data["fit"]["best_step"] == best["step"]
    assert "history" not in result.data["fit"]

    matrix = np.array(result.data["confusion"])
    assert matrix.sum() == result.data["data"]["test"]
    assert np.trace(matrix) / matrix.sum() == pytest.approx(result.metrics["test"]["accuracy"])
    assert matrix.sum(axis=1).tolist() == [one["support"] for one in result.data["per_class"]]
    text = (tmp_path / "out/results.json").read_text()
    assert f'"confusion": [\n    {matrix[0].tolist()},\n    {matrix[1].tolist()}\n  ]' in text

    for name in ("README.md", *(name for name in result.data["files"] if name.endswith(".png"))):
        assert str(tmp_path).encode() not in (tmp_path / "out" / name).read_bytes()
    assert "user/name" not in named(card, "ada/spam") and "hub://ada/spam" in named(card, "ada/spam")

    printed = answers(tmp_path / "out", capsys)
    assert load(tmp_path / "out").predict(["a text"])[0].label in printed


def test_images_by_l_bfgs(tmp_path, mini_image, photos, capsys, monkeypatch):
    net = shutil.copytree(mini_image, tmp_path / "net")
    (net / "README.md").write_text("---\nlicense: bsd-3-clause\n---\n")
    recipe = Recipe(
        summary="probe",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(net), image_size=64),
        head=LinearHead(),
        strategy=FrozenFeatures(),
    )
    result = run(recipe, tmp_path / "out")
    assert result.data["fit"]["fit"] == "lbfgs" and result.data["history"] == []
    assert "confusion_matrix.png" in result.data["files"] and "training_curve.png" not in result.data["files"]
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "training_curve" not in card and "L-BFGS on all rows at once" in card
    assert "license: bsd-3-clause\n" in card and problems(card) == ([], [])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes((photos / "dark/000.png").read_bytes())
    assert load(tmp_path / "out").predict(["photo.jpg"])[0].label in answers(tmp_path / "out", capsys)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "labels", "number", "pairs"])
@pytest.mark.parametrize("head", ["native", "mlp"])
def test_the_loading_lines_of_every_kind_of_label(tmp_path, mini_text, capsys, kind, head):
    rows = make_texts(60)
    header, cells, settings = {
        "classes": (["text", "label"], rows, {}),
        "labels": (["text", "label"], [(t, f"{y};{'long' if len(t) > 40 else 'short'}") for t, y in rows],
                   {"label_separator": ";"}),
        "number": (["text", "label"], [(t, len(t) / 7) for t, _ in rows], {}),
        "pairs": (["text", "other", "label"], [(t, u, y) for (t, y), (u, _) in zip(rows, rows[::-1], strict=True)],
                  {"text_pair": "other"}),
    }[kind]  # fmt: skip
    data = TextClassification(str(write_csv(tmp_path / "rows.csv", header, cells)), text="text", **settings)
    heads = {"native": (NativeHead(), FullFineTune()), "mlp": (MLPHead((4,)), FrozenFeatures())}
    result = run(text_recipe(mini_text, data, *heads[head], max_steps=2), tmp_path / "out")
    printed = answers(tmp_path / "out", capsys)
    if kind == "labels":
        assert all(label in printed for label in result.data["labels"])
        assert result.data["confusion"] is None
    elif kind == "number":
        predicted = load(tmp_path / "out").predict(["a text"])[0]
        assert f"{predicted.label:.3f}"[:-1] in printed
    assert problems((tmp_path / "out/README.md").read_text(encoding="utf-8")) == ([], [])


def test_chinese_names_and_a_regression_have_cards(tmp_path, mini_text):
    rows = [(text, {"good": "正面", "bad": "no"}[label]) for text, label in make_texts(60)]
    data = TextClassification(str(write_csv(tmp_path / "评论.csv", ["text", "label"], rows)))
    result = run(text_recipe(mini_text, data, MLPHead((4,)), FrozenFeatures()), tmp_path / "out", max_steps=2)
    assert result.data["labels"] == ["no", "正面"] or result.data["labels"] == ["正面", "no"]
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "评论.csv" in card and "正面" in card and problems(card) == ([], [])
    drawn = result.data["pictures"]["confusion_matrix"]["labels"]
    assert ("| in the picture | class |" in card) == (drawn == "numbers")
    assert "The license of this model is not known" in card


def test_a_wrong_license_or_language_is_told_before_anything_is_done(tmp_path, mini_text, reviews):
    recipe = text_recipe(mini_text, TextClassification(str(reviews), label="stars"), LSTMHead(4, 1), FrozenFeatures())
    with pytest.raises(UserError, match="--license is 'apache'.*apache-2.0"):
        run(recipe, tmp_path / "out", license="apache")
    with pytest.raises(UserError, match="--language is 'english'"):
        run(recipe, tmp_path / "out", language=["en", "English"])
    assert not (tmp_path / "out").exists()


def test_a_resumed_run_has_the_whole_history(tmp_path, mini_text, reviews, monkeypatch):
    from hf_transfer.callbacks import Progress
    from hf_transfer.runner import Interrupted

    recipe = text_recipe(mini_text, TextClassification(str(reviews), label="stars"), LSTMHead(4, 1), FrozenFeatures())
    whole = run(recipe, tmp_path / "whole")
    seen = Progress.on_step_end

    def stop(self, args, state, control, **kwargs):
        seen(self, args, state, control, **kwargs)
        if state.global_step == 8:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_step_end", stop)
        with pytest.raises(Interrupted):
            run(recipe, tmp_path / "out")
    resumed = run(recipe, tmp_path / "out", resume=True)
    assert len(whole.data["history"]) == 2
    evaluated = [entry for entry in resumed.data["history"] if "validation" in entry]
    assert [entry["validation"] for entry in evaluated] == [e["validation"] for e in whole.data["history"]]
    assert json.loads((tmp_path / "out/results.json").read_text())["history"] == resumed.data["history"]
    assert RunResult.load(tmp_path / "out").data["history"][0]["epoch"] == 1.0
