"""Pretraining from end to end on mini models: what is learnt, saved, resumed and taken over by the next recipe."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from mini import make_texts, mini_text_checkpoint, write_csv
from safetensors.torch import load_file

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    MaskedLMHead,
    NativeHead,
    ProjectionHead,
    RawImages,
    RawText,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
    run_seeds,
    soup,
)
from hf_transfer.hub_push import pushable
from hf_transfer.training import Interrupted

QUICK = dict(num_train_epochs=2, per_device_train_batch_size=16, learning_rate=5e-3)


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    texts = [text for text, _ in make_texts(90)]
    path = tmp_path_factory.mktemp("raw") / "texts.txt"
    path.write_text("\n".join([*texts, "", texts[0], "  " + texts[1]]) + "\n")
    return path


def mlm(lines, checkpoint, **head) -> Recipe:
    return Recipe(
        summary="masked tokens",
        data=RawText(str(lines), validation=0.2),
        backbone=TextBackbone(str(checkpoint), max_length=32),
        head=MaskedLMHead(**head),
        training=QUICK,
    )


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, lines, mini_text):
    folder = tmp_path_factory.mktemp("out") / "mlm"
    return run(mlm(lines, mini_text), folder, name="pretraining/mlm", farewell=False)


def test_perplexity_falls_and_is_that_of_the_saved_model(pretrained):
    data = json.loads((pretrained.output_dir / "results.json").read_text())
    before, after = data["metrics"]["before"], data["metrics"]["validation"]
    assert after["perplexity"] < before["perplexity"] and after["perplexity"] == pytest.approx(math.exp(after["loss"]))
    assert min(one["validation"]["loss"] for one in data["history"]) == pytest.approx(after["loss"], abs=0.02)
    assert data["data"]["dropped"] == {"empty": 1, "duplicates": 2, "leaked": 0, "held_out": 0}
    assert data["pretraining"]["new_head"] and data["headline"]["split"] == "validation"


def test_texts_are_laid_end_to_end_where_asked(lines, mini_text, tmp_path, capsys):
    recipe = mlm(lines, mini_text)
    recipe = replace(recipe, data=replace(recipe.data, join=True), training={**QUICK, "num_train_epochs": 1})
    run(recipe, tmp_path / "out", name="pretraining/mlm", farewell=False)
    said = " ".join(capsys.readouterr().out.split())
    # 87 texts of a few tokens each: far fewer pieces of 32.
    train = int(
        re.search(r"(\d+) train and \d+ validation pieces, of 32 tokens at most, texts laid end to end", said)[1]
    )
    assert 8 <= train < 40


def test_a_stranger_fills_masks(pretrained):
    from transformers import pipeline

    fill = pipeline("fill-mask", model=str(pretrained.output_dir))
    assert len(fill(f"a {fill.tokenizer.mask_token} film")) == 5
    card = (pretrained.output_dir / "README.md").read_text()
    assert "pipeline_tag: fill-mask" in card and "perplexity" in card
    assert "model.safetensors" in pushable(pretrained.output_dir)


@pytest.mark.parametrize("head", [NativeHead(), LinearHead()])
def test_the_next_recipe_starts_from_these_weights(pretrained, tmp_path, reviews, head):
    """Frozen, so that the encoder of the second run is still the first run's."""
    recipe = Recipe(
        summary="next",
        data=TextClassification(str(reviews), text="body", label="stars"),
        backbone=TextBackbone(str(pretrained.output_dir), max_length=32),
        head=head,
        strategy=FrozenFeatures(),
        training=dict(max_steps=1),
    )
    result = run(recipe, tmp_path / "next", farewell=False)
    first, second = (load_file(one.output_dir / "model.safetensors") for one in (pretrained, result))
    name = next(name for name in first if name.endswith("encoder.layer.1.output.dense.weight"))
    again = next(other for other in second if other.endswith("encoder.layer.1.output.dense.weight"))
    assert torch.equal(first[name], second[again])
    assert any("a finished pretraining/mlm run" in note for note in result.data["notes"])


def test_what_needs_a_classifier_says_that_there_is_none(pretrained, lines, mini_text, tmp_path):
    with pytest.raises(UserError, match="no classifier"):
        load(pretrained.output_dir)
    with pytest.raises(UserError, match="no classifier"):
        soup([pretrained.output_dir, pretrained.output_dir.parent], tmp_path / "soup")
    with pytest.raises(UserError, match="--seeds"):
        run_seeds(mlm(lines, mini_text), tmp_path / "seeds", 2)
    with pytest.raises(UserError, match="--start_from"):
        run(mlm(lines, mini_text), tmp_path / "on", start_from=str(pretrained.output_dir))


def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(pretrained, tmp_path, lines, mini_text, stop_at):
    folder = tmp_path / "broken"
    with stop_at(7), pytest.raises(Interrupted):
        run(mlm(lines, mini_text), folder, farewell=False)
    result = run(mlm(lines, mini_text), folder, resume=True, farewell=False)
    whole, broken = (load_file(one.output_dir / "model.safetensors") for one in (pretrained, result))
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert result.data["metrics"] == pretrained.data["metrics"]


@pytest.fixture
def stop_at(monkeypatch):
    """Press Ctrl-C at a step."""
    from contextlib import contextmanager

    from hf_transfer.callbacks import StopOnSignal

    @contextmanager
    def stopping(step):
        end = StopOnSignal.on_step_end

        def on_step_end(self, args, state, control, **kwargs):
            self.stopped = self.stopped or state.global_step == step
            end(self, args, state, control, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(StopOnSignal, "on_step_end", on_step_end)
            yield

    return stopping


def test_accumulation_divides_by_the_masked_tokens_of_all_micro_batches(tmp_path, lines, mini_text):
    """Without dropout 3 x 4 is 1 x 12, though micro-batches have different numbers of masked tokens."""
    checkpoint = mini_text_checkpoint(
        tmp_path / "still", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )  # fmt: skip
    weights = []
    for size, steps in ((12, 1), (4, 3)):
        settings = dict(per_device_train_batch_size=size, gradient_accumulation_steps=steps, max_steps=3)
        settings |= dict(train_sampling_strategy="sequential", optim="sgd", learning_rate=0.5, dtype="float32")
        result = run(mlm(lines, checkpoint), tmp_path / str(size), farewell=False, **settings)
        weights.append(load_file(result.output_dir / "model.safetensors"))
    for name, one in weights[0].items():
        assert torch.allclose(one, weights[1][name], atol=2e-6), name


def test_simclr_learns_and_hands_its_net_on(tmp_path, photos, mini_image):
    recipe = Recipe(
        summary="views",
        data=RawImages(str(photos), validation=0.25),
        backbone=ImageBackbone(str(mini_image), image_size=32),
        head=ProjectionHead(size=16, temperature=0.5),
        training=dict(num_train_epochs=3, per_device_train_batch_size=6, learning_rate=1e-3),
    )
    result = run(recipe, tmp_path / "simclr", name="pretraining/simclr", farewell=False)
    assert result.data["data"]["train"] == 18 and set(result.metrics) == {"before", "validation"}
    saved = load_file(result.output_dir / "model.safetensors")
    assert not any("project" in name or "fc" in name for name in saved)
    after = Recipe(
        summary="next",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(result.output_dir), image_size=32),
        head=LinearHead(),
        strategy=FrozenFeatures(),
    )
    following = run(after, tmp_path / "probe", farewell=False)
    kept = load_file(following.output_dir / "model.safetensors")
    name = next(name for name in saved if name.endswith("conv1.weight"))
    assert torch.equal(saved[name], next(kept[other] for other in kept if other.endswith(name)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(head=NativeHead()), "no labels"),
        (dict(strategy=FrozenFeatures()), "leaves the backbone"),
        (dict(metrics=("accuracy",)), "metrics"),
        (dict(backbone=TextBackbone("x", layer=1)), "layer"),
        (dict(data=TextClassification("x.csv")), "RawText"),
    ],
)
def test_what_does_not_go_together_is_refused_when_it_is_written(changes, said):
    good = dict(
        summary="s", data=RawText("x.txt"), backbone=TextBackbone("x"), head=MaskedLMHead(), strategy=FullFineTune()
    )
    Recipe(**good)
    with pytest.raises(UserError, match=said):
        Recipe(**{**good, **changes})


def test_a_table_without_a_label_is_read(tmp_path):
    from hf_transfer.data import load_raw

    rows = write_csv(tmp_path / "raw.csv", ["id", "body"], [(i, f"text number {i % 20}") for i in range(30)])
    splits = load_raw(RawText(str(rows)))
    assert splits.columns == {"text": "body"} and splits.dropped["duplicates"] == 10
    assert len(splits.train) + len(splits.validation) == 20
    shuffled = write_csv(
        tmp_path / "again.csv", ["id", "body"], [(i, f"text number {i % 20}") for i in reversed(range(30))]
    )
    assert set(load_raw(RawText(str(shuffled))).validation["text"]) == set(splits.validation["text"])
