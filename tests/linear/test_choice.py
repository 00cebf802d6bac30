"""Whether a linear head is solved for or trained step by step, and what is told where both are asked for."""

from dataclasses import replace

import pytest

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    LinearHead,
    LSTMHead,
    NativeHead,
    Recipe,
    TextBackbone,
    TextClassification,
)
from hf_transfer.assembly import build_model
from hf_transfer.data.labels import Labels
from hf_transfer.errors import UserError
from hf_transfer.linear.choice import SGD_FIELDS, settle_fit
from hf_transfer.training_fields import training_fields


def recipe(head=None, pooling="mean", strategy=None, **training) -> Recipe:
    return Recipe(
        summary="a test",
        data=TextClassification("rows.csv"),
        backbone=TextBackbone("net", pooling=pooling),
        head=head or LinearHead(),
        strategy=strategy or FrozenFeatures(),
        training=training,
    )


def test_auto_solves_what_can_be_solved():
    assert settle_fit(recipe(), frozen=True) == "lbfgs"
    assert settle_fit(recipe(LinearHead(l2=0.1), seed=3, label_smoothing_factor=0.1), frozen=True) == "lbfgs"
    assert settle_fit(recipe(LinearHead(fit="lbfgs")), frozen=True) == "lbfgs"
    assert settle_fit(recipe(LinearHead(fit="sgd")), frozen=True) == "sgd"
    assert settle_fit(recipe(strategy=FullFineTune()), frozen=False) == "sgd"
    assert settle_fit(recipe(LinearHead(dropout=0.1)), frozen=True) == "sgd"
    assert settle_fit(recipe(pooling="attention"), frozen=True) == "sgd"
    for head in (NativeHead(), LSTMHead()):
        assert settle_fit(recipe(head), frozen=True) == "sgd"


@pytest.mark.parametrize("field", sorted(SGD_FIELDS))
def test_a_field_of_gradient_descent_asks_for_it(field):
    assert field in training_fields()
    asked = recipe(**{field: 1})
    assert settle_fit(asked, frozen=True) == "sgd"
    with pytest.raises(UserError, match=rf"head\.fit is 'lbfgs'.*training\.{field}"):
        settle_fit(replace(asked, head=LinearHead(fit="lbfgs")), frozen=True)
    with pytest.raises(UserError, match=rf"head\.l2 is 0\.5.*training\.{field}"):
        settle_fit(replace(asked, head=LinearHead(l2=0.5)), frozen=True)


def test_lbfgs_names_what_stands_against_it():
    asked = recipe(LinearHead(fit="lbfgs"))
    with pytest.raises(UserError, match="head.fit is 'lbfgs'.*FullFineTune trains the backbone.*FrozenFeatures"):
        settle_fit(replace(asked, strategy=FullFineTune()), frozen=False)
    with pytest.raises(UserError, match="head.fit is 'lbfgs'.*backbone.pooling is 'attention'"):
        settle_fit(replace(asked, backbone=TextBackbone("net", pooling="attention")), frozen=True)
    with pytest.raises(UserError, match="head.l2 is 0.5.*head.dropout is 0.1"):
        settle_fit(recipe(LinearHead(dropout=0.1, l2=0.5)), frozen=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(fit="newton"), "LinearHead.fit is 'newton'; allowed: auto, lbfgs, sgd"),
        (dict(fit="lbfgs", dropout=0.1), "LinearHead.fit is 'lbfgs'.*LinearHead.dropout is 0.1"),
        (dict(fit="sgd", l2=0.1), "LinearHead.l2 is 0.1.*LinearHead.fit is 'sgd'"),
        (dict(l2=-1.0), "LinearHead.l2 is -1.0; allowed"),
        (dict(l2=float("nan")), "LinearHead.l2 is nan; allowed"),
        (dict(l2=True), "LinearHead.l2 is True; allowed"),
    ],
)
def test_a_head_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        LinearHead(**fields)


def test_how_a_head_was_fitted_does_not_reach_the_saved_model(mini_text):
    backbone = TextBackbone(str(mini_text), max_length=32)
    labels = Labels(("bad", "good"), "single_label_classification")
    model = build_model(backbone, LinearHead(fit="lbfgs", l2=0.1), labels, backbone.processor())
    assert model.config.head == {"kind": "linear", "dropout": 0.0}
