"""Runs of fused backbones, from a table to a saved model that is loaded again: here and by a stranger."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mini import mini_image_checkpoint, mini_text_checkpoint, write_text_images
from PIL import Image
from safetensors.torch import load_file
from stranger import WITHOUT_US

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    FusedBackbone,
    GradualUnfreeze,
    ImageBackbone,
    LinearHead,
    MLPHead,
    Recipe,
    Stage,
    TextBackbone,
    TextClassification,
    TextImageClassification,
    UserError,
    load,
    run,
    training,
)
from hf_transfer.cli import main
from hf_transfer.data import load_data
from hf_transfer.ensemble import soup, wise_ft
from hf_transfer.seeds import run_seeds

# A process that cannot import this package follows the card, with a folder in the place of MODEL.
STRANGER = (
    WITHOUT_US
    + """
import json, sys
sys.path[:] = [entry for entry in sys.path if entry not in ("", sys.argv[1])]
for snippet in json.loads(sys.argv[2]):
    exec(snippet)
    print(json.dumps(["found", probabilities.tolist()]))
"""
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A table of texts and images, and the three checkpoints."""
    folder = tmp_path_factory.mktemp("fused")
    mini_text_checkpoint(folder / "bert")
    mini_text_checkpoint(folder / "wide", "roberta", hidden_size=24)
    mini_image_checkpoint(folder / "cnn")
    write_text_images(folder / "data", 80)
    return folder


def both(place, **settings) -> FusedBackbone:
    # The names sort the other way round than the parts stand: config.json must keep their order.
    return FusedBackbone(
        {"words": TextBackbone(place / "bert", max_length=32), "image": ImageBackbone(place / "cnn", image_size=32)},
        **settings,
    )


def recipe(place, backbone=None, head=LinearHead(), **changes) -> Recipe:  # noqa: B008 - immutable
    return Recipe(
        summary="fused",
        backbone=backbone or both(place),
        head=head,
        **{"data": TextImageClassification(str(place / "data/rows.csv")), "strategy": FrozenFeatures(), **changes},
    )


@pytest.fixture(scope="module")
def solved(place):
    """A linear head on both, side by side."""
    # In bfloat16 a mini model's features are another input for the head (see features/extractor.py).
    result = run(recipe(place), place / "solved", dtype="float32")
    return place / "solved", result


def test_a_run_measures_what_it_saved(solved, place):
    folder, result = solved
    fit = result.data["fit"]
    assert fit["fit"] == "lbfgs" and result.metrics["test"]["accuracy"] > 0.8
    # The fit saw the validation rows as recorded; the saved model saw their texts and pictures.
    assert result.metrics["validation"]["loss"] == pytest.approx(fit["validation_loss"], rel=0.05)
    assert result.data["checkpoint"] == {"words": str(place / "bert"), "image": str(place / "cnn")}
    assert {"words/tokenizer.json", "image/config.json", "modeling_fused.py"} <= set(result.data["files"])
    assert "learned" not in result.data
    card = (folder / "README.md").read_text()
    assert "pooled features of `words` and `image` side by side" in card and str(place) not in card


def test_it_predicts_pairs_tables_and_is_evaluated(solved, place, capsys):
    folder, result = solved
    predictor = load(folder)
    rows = load_data(recipe(place).data, progress=False).test
    pairs = list(zip(rows["text"], rows["image"], strict=True))
    logits = predictor.logits(rows.remove_columns("label"))
    shares = torch.tensor(logits).softmax(1).numpy()
    found = predictor.predict(pairs)
    np.testing.assert_allclose([list(one.probabilities.values()) for one in found], shares, atol=1e-5)
    for wrong in (["only a text"], [Image.new("RGB", (8, 8))]):
        with pytest.raises(UserError, match=r"predict\(\[\(text, image\), ...\]\)"):
            predictor.predict(wrong)
    table = str(place / "data/rows.csv")
    assert main(["predict", str(folder), "--input", table, "--output", str(place / "out.csv")]) == 0
    written = pd.read_csv(place / "out.csv")
    assert len(written) == 80 and {"text", "image", "prob_bad", "prob_good"} <= set(written.columns)
    assert main(["evaluate", str(folder), "--data.test", table]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_a_stranger_who_follows_the_card_gets_the_same(solved, place, tmp_path):
    """One process for a fused model of each kind; texts with two tokenizers, two nets at different sizes."""
    texts = TextClassification(str(place / "data/rows.csv"))
    encoders = {"one": TextBackbone(place / "bert", max_length=32), "two": TextBackbone(place / "wide", max_length=24)}
    run(
        recipe(place, FusedBackbone(encoders, "weighted", None), MLPHead((4,)), data=texts),
        tmp_path / "texts",
        max_steps=2,
    )
    picture = tmp_path / "photo.png"
    load_data(recipe(place).data, progress=False).test[0]["image"].save(picture)
    snippets, expected = [], []
    for folder, given in ((solved[0], [("a text", str(picture))]), (tmp_path / "texts", ["a text"])):
        code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL).group(1)
        snippets.append(code.replace('"MODEL"', repr(str(folder))).replace("photo.jpg", str(picture)))
        expected.append(list(load(folder).predict(given)[0].probabilities.values()))
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(Path(__file__).resolve().parents[1]), json.dumps(snippets)],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answers = [json.loads(line)[1] for line in done.stdout.splitlines() if line.startswith('["found"')]
    np.testing.assert_allclose(answers[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(answers[1], expected[1], atol=1e-5)


def test_a_learned_alpha_is_told_everywhere_and_survives_a_stop(place, tmp_path, capsys, monkeypatch):
    """Full fine-tuning in a second stage; a run that stops between them ends with the same weights."""
    staged = recipe(
        place,
        both(place, fusion="weighted", alpha=None),
        strategy=(Stage(FrozenFeatures()), Stage(FullFineTune(layer_decay=0.8), dict(learning_rate=1e-4))),
        training=dict(num_train_epochs=2, learning_rate=1e-2, per_device_train_batch_size=16),
    )
    result = run(staged, tmp_path / "whole", name="both/staged")
    weights = load_file(tmp_path / "whole/model.safetensors")
    alpha = result.data["learned"]["alpha"]
    assert list(alpha) == ["words", "image"] and sum(alpha.values()) == pytest.approx(1)
    assert alpha["words"] == pytest.approx(weights["fusion.logit"].sigmoid().item(), abs=1e-6) != 0.5
    assert f"alpha       {alpha['words']:.4f} words" in capsys.readouterr().out
    assert f"{alpha['words']:.4f} * `words`" in (tmp_path / "whole/README.md").read_text()

    whole_stage, calls = training.train_stage, []

    def first_alone(*args, **settings):
        calls.append(args)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return whole_stage(*args, **settings)

    monkeypatch.setattr(training, "train_stage", first_alone)
    with pytest.raises(KeyboardInterrupt):
        run(staged, tmp_path / "stopped", name="both/staged")
    monkeypatch.undo()
    run(staged, tmp_path / "stopped", name="both/staged", resume=True)
    for name, tensor in load_file(tmp_path / "stopped/model.safetensors").items():
        assert torch.equal(tensor, weights[name]), name


def test_gradual_unfreezing_moves_both_parts_from_the_top(place, tmp_path):
    gradual = recipe(place, strategy=GradualUnfreeze(), training=dict(num_train_epochs=2, learning_rate=1e-3))
    run(gradual, tmp_path / "out", load_best_model_at_end=False)
    after = load_file(tmp_path / "out/model.safetensors")
    before = {f"parts.words.backbone.{k}": v for k, v in load_file(place / "bert/model.safetensors").items()}
    moved = {name for name, tensor in before.items() if name in after and not torch.equal(tensor, after[name])}
    # What follows the last block, BERT's pooler, moves with it.
    assert moved and all(".layer.1." in name or ".pooler." in name for name in moved)
    net = load_file(place / "cnn/model.safetensors")
    moved = {n for n, t in net.items() if n.endswith("conv1.weight") and not torch.equal(t, after[_in_image(n)])}
    assert moved and all(".layer4." in name for name in moved)


def _in_image(name: str) -> str:
    return f"parts.image.backbone.{name}"


@pytest.mark.parametrize(
    "words, told",
    [
        (["export", "{out}", "--format", "onnx"], "is a fused model, and ONNX takes models with one network"),
        (["demo", "{out}"], "this model reads a text and an image"),
        (["run", "{out}", "--start_from", "{out}", "--output_dir", "{new}"], "a fused model is not trained further"),
        (
            "run text/linear_probe --backbone.checkpoint {out} --data.train {rows} --output_dir {new}".split(),
            "is a fused model, which has two networks",
        ),
    ],
    ids=["export", "demo", "start_from", "checkpoint"],
)
def test_what_a_fused_model_cannot_do_is_told_in_one_line(words, told, solved, place, tmp_path, capsys):
    names = dict(out=solved[0], new=tmp_path / "new", rows=place / "data/rows.csv")
    assert main([word.format(**names) for word in words]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said and "\n" not in said


def test_overwriting_leaves_no_part_of_an_earlier_run_behind(place, tmp_path):
    run(recipe(place), tmp_path / "out", max_steps=1)
    (tmp_path / "out/words/mine.txt").write_text("not of the run")
    plain = TextBackbone(place / "bert", max_length=32)
    data = TextClassification(str(place / "data/rows.csv"))
    run(recipe(place, plain, data=data), tmp_path / "out", overwrite=True, max_steps=1)
    assert not (tmp_path / "out/image").exists()
    assert [path.name for path in (tmp_path / "out/words").iterdir()] == ["mine.txt"]


def test_averages_and_seeds_of_fused_models(solved, place, tmp_path):
    """The mean of two runs that went on from the probe, the line to one of them, and two seeds in one command."""
    tuned = recipe(place, strategy=FullFineTune(), training=dict(max_steps=2, learning_rate=1e-3))
    seeds = run_seeds(tuned, tmp_path / "seeds", 2, keep_all=True, dtype="float32")
    assert len(seeds.data["seeds"]["runs"]) == 2
    both_seeds = sorted((tmp_path / "seeds/seeds").iterdir())
    weights = [load_file(folder / "model.safetensors") for folder in both_seeds]
    soup(both_seeds, tmp_path / "soup")
    mean = load_file(tmp_path / "soup/model.safetensors")
    for name in ("head.out.weight", "parts.words.backbone.embeddings.word_embeddings.weight"):
        torch.testing.assert_close(mean[name], (weights[0][name] + weights[1][name]) / 2, atol=1e-7, rtol=1e-6)
    curve = wise_ft(solved[0], both_seeds[0], tmp_path / "line", alphas=(0, 1)).data["wise_ft"]["curve"]
    assert [one["alpha"] for one in curve] == [0.0, 1.0]
    assert curve[0]["test"]["accuracy"] == solved[1].metrics["test"]["accuracy"]
    for folder in ("seeds", "soup", "line"):
        assert (tmp_path / folder / "words/tokenizer.json").exists()
        assert load(tmp_path / folder).predict([("a lovely film", Image.new("RGB", (8, 8)))])[0].label in (
            "bad",
            "good",
        )
