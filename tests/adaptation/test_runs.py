"""Recipes of two domains from end to end: what is trained, saved, measured, compared and told."""

import json

import numpy as np
import pytest
import torch
from mini import write_csv
from safetensors.torch import load_file

from hf_transfer import (
    CORAL,
    DANN,
    KMM,
    MMD,
    FullFineTune,
    LinearHead,
    LSTMHead,
    MLPHead,
    PseudoLabels,
    Recipe,
    Supervised,
    TextBackbone,
    TextClassification,
    TrAdaBoost,
    UserError,
    load,
    load_recipe,
    run,
)

TRAINING = dict(num_train_epochs=2, per_device_train_batch_size=8, learning_rate=1e-3)
METHODS = {
    "source_only": dict(),
    "kmm": dict(data=dict(weights=KMM(), selection="weighted")),
    "coral": dict(data=dict(align="coral")),
    "scale_mlp": dict(data=dict(align="scale"), head=MLPHead(hidden_sizes=(8,)), training=TRAINING),
    "tradaboost": dict(data=dict(weights=TrAdaBoost(rounds=3), target_labels=True), target="partly"),
    "dann": dict(strategy=FullFineTune(), objective=Supervised() + DANN(hidden_size=8), training=TRAINING),
    "mmd_frozen": dict(head=MLPHead(hidden_sizes=(8,)), objective=Supervised() + MMD(), training=TRAINING),
    "self_training_lstm": dict(
        head=LSTMHead(hidden_size=4, num_layers=1), objective=Supervised() + PseudoLabels(0.5), training=TRAINING
    ),
    "kmm_full": dict(data=dict(weights=KMM()), strategy=FullFineTune(), training=TRAINING),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_runs_and_is_measured_on_both_domains(method, recipe_of, places, tmp_path, capsys):
    recipe = recipe_of(**METHODS[method])
    result = run(recipe, tmp_path / "out", name=method)
    said, domains = capsys.readouterr().out, result.data["domains"]
    wanted = {"model"} if method == "source_only" else {"model", "source_only"}
    wanted |= {"target_only"} if recipe.data.target_labels else set()
    assert set(domains["scores"]) == wanted
    for scores in domains["scores"].values():
        assert set(scores) == {"source", "target"}
    assert domains["scores"]["model"]["target"] == pytest.approx(result.metrics["test"])
    # The verdict is about the very figures of the table.
    if method != "source_only":
        verdict = domains["verdict"]
        assert verdict["value"] == pytest.approx(domains["scores"]["model"]["target"]["accuracy"])
        assert verdict["baseline"] == pytest.approx(domains["scores"]["source_only"]["target"]["accuracy"])
        assert verdict["text"] in said and verdict["text"] in (tmp_path / "out/README.md").read_text()
        assert set(domains["a_distance"]) == {"before", "after"}
    assert ("weighting" in domains) == (recipe.data.weights is not None)
    assert (tmp_path / "out" / domains["picture"]).read_bytes().startswith(b"\x89PNG")
    assert f"picture      {domains['picture']}, both domains" in said
    card = (tmp_path / "out/README.md").read_text()
    assert "## Source and target" in card and f"({domains['picture']})" in card
    # A stranger to the two domains reads it like any other model, and new rows are the target's.
    predictor = load(tmp_path / "out")
    assert predictor.evaluate_file(str(places["test"]))["accuracy"] == pytest.approx(
        result.metrics["test"]["accuracy"]
    )
    assert not any("discriminator" in name for name in load_file(tmp_path / "out/model.safetensors"))
    assert load_recipe(tmp_path / "out").data.weights == recipe.data.weights
    assert not (tmp_path / "out/checkpoints").exists()


def test_target_labels_change_nothing_in_an_unsupervised_run(recipe_of, places, tmp_path):
    """The labels of the target's rows are turned around, and every bit of the model stays."""
    with places["target"].open() as file:
        rows = [line.rstrip("\n").rsplit(",", 1) for line in file][1:]
    turned = write_csv(
        tmp_path / "turned.csv", ["text", "label"], [(t, "bad" if label == "good" else "good") for t, label in rows]
    )
    objective = Supervised() + DANN(hidden_size=8) + PseudoLabels(0.5)
    settings = dict(data=dict(weights=KMM()), strategy=FullFineTune(), objective=objective, training=TRAINING)
    true = run(recipe_of(target="target", **settings), tmp_path / "true")
    false = run(recipe_of(target=TextClassification(str(turned)), **settings), tmp_path / "false")
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("true", "false"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for part in ("metrics", "domains"):
        assert true.data[part] == false.data[part]


def test_one_domain_and_no_label_of_the_target_is_the_plain_run(recipe_of, places, plain_text, tmp_path):
    """Source-only is what the recipe gives without a target: bit for bit."""
    for number, (head, strategy) in enumerate(((LinearHead(), None), (LinearHead(), FullFineTune()))):
        changes = dict(head=head, **({"strategy": strategy, "training": TRAINING} if strategy else {}))
        both = recipe_of(test=None, **changes)
        run(both, tmp_path / f"both{number}")
        alone = Recipe(
            "alone", TextClassification(str(places["source"])), both.backbone, head=both.head, strategy=both.strategy,
            training=both.training,
        )  # fmt: skip
        run(alone, tmp_path / f"alone{number}")
        ours, theirs = (load_file(tmp_path / f"{name}{number}/model.safetensors") for name in ("both", "alone"))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_baseline_does_not_move_the_model(recipe_of, tmp_path):
    settings = dict(strategy=FullFineTune(), objective=Supervised() + CORAL(), training=TRAINING)
    run(recipe_of(**settings), tmp_path / "with")
    run(recipe_of(dict(baseline=False), **settings), tmp_path / "without")
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert set(json.loads((tmp_path / "without/results.json").read_text())["domains"]["scores"]) == {"model"}


def test_weights_are_used(recipe_of, tmp_path, monkeypatch):
    """A weighting that leaves one class of the source out gives a model that knows no other."""
    from hf_transfer.reweighting import Weights

    def one_sided(self, source, target):
        labels = np.concatenate([np.asarray(ours.train["label"]), np.asarray(ours.validation["label"])])
        return Weights(2.0 * (labels == 1), {})

    from hf_transfer.data import load_domains

    recipe = recipe_of(dict(weights=KMM(), baseline=False))
    ours = load_domains(recipe.data, progress=False)
    monkeypatch.setattr(KMM, "fit", one_sided)
    descent = dict(strategy=FullFineTune(), training={**TRAINING, "learning_rate": 1e-2})
    for name, changes in (("solved", {}), ("trained", descent)):
        data = dict(weights=KMM(), baseline=False)
        run(recipe_of(data, **changes), tmp_path / name)
        said = load(tmp_path / name).logits(ours.test.remove_columns("label")).argmax(1)
        assert set(said) == {1}, name
    told = json.loads((tmp_path / "solved/results.json").read_text())["domains"]["weighting"]
    assert told["effective_sample_size"] == pytest.approx((np.asarray(ours.train["label"]) == 1).sum())
    assert sum(count for *_, count in told["histogram"]) == told["rows"] == len(ours.train)


REFUSED = {
    "features that do not move": (dict(objective=Supervised() + DANN()), "there are none that move; use MLPHead"),
    "coral of what moves": (
        dict(data=dict(align="coral"), strategy=FullFineTune()),
        "this strategy moves the backbone",
    ),
    "coral of tokens": (dict(data=dict(align="scale"), head=LSTMHead()), "LSTMHead does not read those"),
    "weighted without weights": (dict(data=dict(selection="weighted")), "needs data.weights"),
    "batch norm of texts": (dict(data=dict(adapt_batch_norm=True)), "text encoders have no BatchNorm"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused_at_once(case, recipe_of):
    changes, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        recipe_of(**changes)


def test_a_term_between_domains_needs_two():
    with pytest.raises(UserError, match="objective MMD needs rows of two domains"):
        Recipe("one", TextClassification("a.csv"), TextBackbone("x/y"), objective=Supervised() + MMD())


def test_what_a_stranger_gets_speaks_of_the_target(recipe_of, places, tmp_path):
    """Card, page and push take the target for the data of the model; no text of the source is published."""
    from hf_transfer import RunResult
    from hf_transfer.card.metadata import card_data
    from hf_transfer.hub_push import pushable
    from hf_transfer.web.page import page_of

    run(recipe_of(dict(weights=KMM()), target="target", test=0.25), tmp_path / "out")
    result = RunResult.load(tmp_path / "out")
    measured = card_data(result).to_dict()["model-index"][0]["results"][0]["dataset"]
    assert measured["name"] == "target.csv" and measured["args"]["rows"] == 15
    assert measured["args"]["cut"].startswith("0.25, by content")
    assert page_of(result)["inputs"] == ["Text"]
    assert "domains.png" in pushable(tmp_path / "out")
    source = places["source"].read_text().splitlines()[1].rsplit(",", 1)[0]
    for name in ("results.json", "README.md"):
        assert source not in (tmp_path / "out" / name).read_text()


def test_a_model_of_the_source_goes_on_to_the_target(recipe_of, places, tmp_path):
    """Both the method and what it is compared with start from the finished model, its head too."""
    settings = dict(strategy=FullFineTune(), training={**TRAINING, "num_train_epochs": 1})
    both = recipe_of(objective=Supervised() + CORAL(), **settings)
    alone = Recipe(
        "alone", TextClassification(str(places["source"])), both.backbone, head=both.head, strategy=both.strategy,
        training=both.training,
    )  # fmt: skip
    run(alone, tmp_path / "source")
    still = {"learning_rate": 1e-12}
    result = run(both, tmp_path / "target", start_from=str(tmp_path / "source"), **still)
    rows = json.loads((tmp_path / "source/results.json").read_text())["metrics"]["test"]
    for scores in result.data["domains"]["scores"].values():  # at no rate both stay what they started from
        assert scores["source"]["loss"] == pytest.approx(rows["loss"], abs=1e-5)


def test_rows_of_either_domain_may_be_in_memory(recipe_of, places, tmp_path):
    """They cannot be read back, but what they were is said, and the model is measured and loaded like any other."""
    from dataclasses import replace

    from datasets import Dataset

    from hf_transfer.saved import saved_recipe

    rows = {name: Dataset.from_csv(str(places[name])) for name in ("source", "unlabelled", "test")}
    named = recipe_of()
    data = replace(
        named.data,
        source=replace(named.data.source, train=rows["source"]),
        target=replace(named.data.target, train=rows["unlabelled"]),
        test=rows["test"],
    )
    result = run(replace(named, data=data), tmp_path / "memory")
    assert result.data["domains"] == run(named, tmp_path / "files").data["domains"]
    saved = saved_recipe(tmp_path / "memory")
    assert saved.data.source.train == "in memory (source train)" and saved.data.test == "in memory (test)"
