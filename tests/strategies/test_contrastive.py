"""Contrastive training on pairs: which pairs, what moves, what is refused."""

import json
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from mini import mini_text_checkpoint

from hf_transfer import (
    L2SP,
    Contrastive,
    FrozenFeatures,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    NativeHead,
    Recipe,
    Stage,
    Supervised,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
)
from hf_transfer.flags import apply_overrides, recipe_flags
from hf_transfer.recipe_json import recipe_from_dict, recipe_to_dict

pytest.importorskip("sentence_transformers", reason="pip install 'hf-transfer-recipes[few-shot]'")
STAGES = (Stage(Contrastive(pairs_per_row=4), training=dict(learning_rate=1e-3)), Stage(FrozenFeatures()))


@pytest.fixture
def recipe(mini_text, reviews) -> Recipe:
    return Recipe(
        summary="few labels",
        data=TextClassification(str(reviews), label="stars", train_per_class=8),
        backbone=TextBackbone(str(mini_text), max_length=32, pooling="mean"),
        head=LinearHead(),
        strategy=STAGES,
    )


def test_every_row_has_as_many_partners_of_its_class_as_of_others():
    from hf_transfer.contrast import draw_pairs

    labels = [0, 0, 0, 1, 1, 2]
    pairs, same = draw_pairs(labels, 5, seed=0)
    assert Counter(pairs[same == 1][:, 0].tolist()) == dict.fromkeys(range(5), 5)  # the last is alone in its class
    assert Counter(pairs[same == 0][:, 0].tolist()) == dict.fromkeys(range(6), 5)
    for (first, second), kin in zip(pairs, same, strict=True):
        assert first != second and (labels[first] == labels[second]) == bool(kin)
    np.testing.assert_array_equal(draw_pairs(labels, 5, seed=0)[0], pairs)
    assert not np.array_equal(draw_pairs(labels, 5, seed=1)[0], pairs)
    with pytest.raises(UserError, match="no class has two rows"):
        draw_pairs([0, 1, 2], 5, seed=0)


def trained(recipe, folder):
    """The model after the first stage, and as it was before."""
    from matrix import train

    from hf_transfer import training

    seen = []
    finish = training.finish

    def watch(place, model, told, state):
        seen.append(({name: tensor.clone() for name, tensor in model.state_dict().items()}, told))
        finish(place, model, told, state)

    training.finish = watch
    try:
        first = replace(STAGES[0], training=dict(learning_rate=0.0, weight_decay=0.0))
        still, opened = train(replace(recipe, strategy=(first, STAGES[1])), folder / "still")
        model, _ = train(recipe, folder / "moved")
    finally:
        training.finish = finish
    return seen, still, model, opened


def test_the_encoder_learns_and_the_head_does_not(recipe, tmp_path):
    (before, _), (after, told) = trained(recipe, tmp_path)[0]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("backbone.") for name in changed)
    assert {name for name in before if name.startswith("head.")} & changed == set()
    assert told["fit"] == "contrastive" and told["pairs"] == 2 * 4 * 16


def test_rows_of_one_class_come_together_in_our_pooling(recipe, tmp_path):
    """Mean pooling is what is trained: on the train rows cosines within a class rise above those across."""
    from hf_transfer.inputs import collator, encode

    first = replace(STAGES[0], training=dict(learning_rate=3e-3, num_train_epochs=6))
    _, still, model, opened = trained(replace(recipe, strategy=(first, STAGES[1])), tmp_path)
    backbone, rows = opened.recipe.backbone, opened.splits.train
    encoded = encode(backbone, opened.processor, rows.remove_columns("label"))
    batch = collator(backbone, opened.processor)([encoded[number] for number in range(len(encoded))])
    labels = torch.tensor(rows["label"][:])
    same = labels[:, None] == labels[None, :]
    gaps = []
    for one in (still, model):
        with torch.no_grad():
            vectors = torch.nn.functional.normalize(one.eval().encode(**batch).pooled, dim=1)
        cosines = vectors @ vectors.T
        gaps.append((cosines[same].mean() - cosines[~same].mean()).item())
    assert gaps[1] > gaps[0] + 0.3, gaps


def test_accumulated_micro_batches_are_one_large_batch(recipe, tmp_path):
    """Under plain gradient descent, which does not forgive a loss of another size."""
    from matrix import train

    still = mini_text_checkpoint(tmp_path / "mini", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    recipe = replace(recipe, backbone=replace(recipe.backbone, checkpoint=str(still)))
    strategy = (Stage(STAGES[0].strategy, dict(learning_rate=0.1, optim="sgd", max_grad_norm=0)), STAGES[1])
    states = []
    for size, accumulation in ((16, 1), (4, 4)):
        changes = dict(per_device_train_batch_size=size, gradient_accumulation_steps=accumulation)
        first = replace(strategy[0], training={**strategy[0].training, **changes})
        model, _ = train(replace(recipe, strategy=(first, strategy[1])), tmp_path / str(size))
        states.append(torch.cat([tensor.flatten() for tensor in model.backbone.state_dict().values()]))
    torch.testing.assert_close(states[0], states[1], atol=1e-4, rtol=0)


def test_the_values_that_setfit_has_and_what_moves():
    assert Contrastive() == Contrastive(pairs_per_row=20, loss="cosine")
    assert [Contrastive().trains("x", depth, 4) for depth in range(5)] == [True] * 4 + [False]


def test_a_whole_run_says_what_it_did(recipe, tmp_path, capsys):
    result = run(recipe, tmp_path / "out")
    assert [stage["fit"] for stage in result.data["stages"]] == ["contrastive", "lbfgs"]
    assert load(tmp_path / "out").predict(["a lovely film"])[0].label in ("bad", "good")
    assert result.data["parameters"]["trainable"] > 1000  # of the stage that trains most, not of the last one
    screen = capsys.readouterr().out
    assert "128 pairs of 16 rows: 4 of its own class and 4 of others for each" in screen
    assert "16 labelled rows: one run says little" in screen and "--seeds 5" in screen
    assert "Contrastive, then FrozenFeatures" in (tmp_path / "out" / "README.md").read_text()


def test_json_and_flags(recipe):
    again = recipe_from_dict(json.loads(json.dumps(recipe_to_dict(recipe))))
    assert again == recipe
    flags = recipe_flags(replace(recipe, strategy=(Stage(Contrastive()), STAGES[1])))
    assert flags["stage.1.learning_rate"].default == 2e-5  # the help shows what will be
    changed, _ = apply_overrides(recipe, {"stage.1.strategy.pairs_per_row": 7, "data.train_per_class": 32})
    assert changed.strategy[0].strategy.pairs_per_row == 7 and changed.data.train_per_class == 32


def test_the_other_loss_trains_too(recipe, tmp_path):
    from matrix import train

    states = []
    for loss in ("cosine", "contrastive"):
        strategy = (Stage(Contrastive(2, loss), training=dict(learning_rate=1e-3)), STAGES[1])
        model, _ = train(replace(recipe, strategy=strategy), tmp_path / loss)
        states.append(torch.cat([tensor.flatten() for tensor in model.backbone.state_dict().values()]))
    assert not torch.equal(*states)


def test_what_cannot_be_is_told(recipe, tmp_path, mini_image, photos, monkeypatch):
    for head in (NativeHead(), LSTMHead()):
        with pytest.raises(UserError, match="does not read; use LinearHead or MLPHead"):
            replace(recipe, head=head)
    with pytest.raises(UserError, match="let a stage follow"):
        replace(recipe, strategy=(Stage(FrozenFeatures()), Stage(Contrastive())))
    with pytest.raises(UserError, match="let a stage follow"):
        run(replace(recipe, strategy=Contrastive()), tmp_path / "alone")
    with pytest.raises(UserError, match="has a loss of its own"):
        replace(recipe, strategy=(Stage(Contrastive(), objective=Supervised() + L2SP()), STAGES[1]))
    with pytest.raises(UserError, match="trains text encoders"):
        Recipe("x", ImageClassification(str(photos)), ImageBackbone(str(mini_image)), LinearHead(), STAGES)
    for wrong in (dict(pairs_per_row=0), dict(loss="triplet")):
        with pytest.raises(UserError, match="strategy.(pairs_per_row|loss) is"):
            Contrastive(**wrong)
    with pytest.raises(UserError, match="needs one class per row, and the task is regression"):
        numbers = tmp_path / "numbers.csv"
        numbers.write_text("text,label\n" + "".join(f"text {i},{i / 7}\n" for i in range(60)))
        run(replace(recipe, data=TextClassification(str(numbers), problem_type="regression")), tmp_path / "numbers")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UserError, match=r"pip install 'hf-transfer-recipes\[few-shot\]'"):
        run(recipe, tmp_path / "absent")
