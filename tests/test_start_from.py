"""Our own models as a beginning: their encoder under a new head, and backbone and head trained further."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from mini import make_texts, mini_image_checkpoint, write_csv
from safetensors.torch import load_file, save_file

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
from hf_transfer.assembly import build_model, origin
from hf_transfer.data import Labels, load_data
from hf_transfer.start import open_start

TEXTS = [text for text, _ in make_texts(8, seed=5)]
OTHER = Labels("single_label_classification", ("ham", "spam", "other"), None)


@pytest.fixture(scope="module")
def text(mini_text, reviews):
    """A recipe that moves the encoder too: what is taken from its result must not be what it began with."""
    return Recipe(
        summary="texts",
        data=TextClassification(str(reviews), text="body", label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        head=LSTMHead(hidden_size=4, num_layers=1),
        strategy=FullFineTune(),
        training=dict(learning_rate=1e-2, max_steps=3, per_device_train_batch_size=8),
    )


@pytest.fixture(scope="module")
def image(mini_image, photos):
    return Recipe(
        summary="images",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(mini_image), image_size=32),
        head=MLPHead((4,)),
        strategy=FullFineTune(),
        training=dict(learning_rate=1e-2, max_steps=2, per_device_train_batch_size=8),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, text, image):
    """Run a variant of one of the two recipes once, and return its folder."""
    made = {}

    def make(recipe, **changes) -> Path:
        changed = replace(recipe, **changes)
        key = repr(changed)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("finished") / "out"
            run(changed, made[key], name="mine/first")
        return made[key]

    return make


def build(backbone, head, labels=OTHER):
    return build_model(backbone, head, labels, backbone.processor()).eval()


def states(model, tokenizer):
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.base_model(**batch).last_hidden_state


def accuracy_of(folder, recipe) -> float:
    splits = load_data(recipe.data, progress=False)
    truth = [splits.labels.names[number] for number in splits.test["label"]]
    found = [row.label for row in load(folder).predict(list(splits.test["text"]))]
    return sum(one == other for one, other in zip(found, truth, strict=True)) / len(truth)


def pictures(photos) -> list[str]:
    return [str(path) for path in sorted(photos.glob("*/*.png"))[::4]]


def probabilities(folder, inputs) -> np.ndarray:
    return np.array([list(row.probabilities.values()) for row in load(folder).predict(inputs)])


# ---------------------------------------------------------------------------------------------------------------------
# The encoder of a finished model under a new head


@pytest.mark.parametrize(
    "head,changes",
    [
        (LSTMHead(4, 1), {}),
        (NativeHead(), {}),
        pytest.param(LinearHead(), {"pooling": "mean"}, marks=pytest.mark.slow),
        pytest.param(MLPHead((4,)), {"layer": 1, "pooling": "max"}, marks=pytest.mark.slow),
    ],
    ids=["lstm", "native", "linear", "cut"],
)
def test_a_text_encoder_is_taken_with_its_trained_weights(head, changes, finished, text):
    out = finished(text, head=head, backbone=replace(text.backbone, **changes))
    source = load(out)
    expected = states(source.model, source.processor)
    backbone = TextBackbone(str(out), max_length=32)
    for new in (NativeHead(), LinearHead(), LSTMHead(4, 1)):
        model = build(backbone, new)
        torch.testing.assert_close(states(model, backbone.processor()), expected, atol=0, rtol=0)
        assert list(model.config.id2label.values()) == list(OTHER.names)
    fresh = build(TextBackbone(text.backbone.checkpoint, max_length=32, layer=changes.get("layer")), LSTMHead(4, 1))
    assert not torch.equal(states(fresh, backbone.processor()), expected)


def test_pooling_and_depth_are_those_of_the_finished_model(finished, text):
    out = finished(text, head=MLPHead((4,)), backbone=replace(text.backbone, layer=1, pooling="max"))
    config = json.loads((out / "config.json").read_text())
    config["normalize"] = True  # as where sentence-transformers' own checkpoints begin
    again = Path(f"{out}-normalized")
    shutil.copytree(out, again, dirs_exist_ok=True)
    (again / "config.json").write_text(json.dumps(config))
    model = build(TextBackbone(str(again), max_length=32), LinearHead())
    assert (model.config.pooling, model.config.normalize, model.config.layer) == ("max", True, 1)
    assert build(TextBackbone(str(again), max_length=32, pooling="mean"), LinearHead()).config.pooling == "mean"
    with pytest.raises(UserError, match="backbone.layer is 2; .* has 1 blocks"):
        TextBackbone(str(again), max_length=32, layer=2).load_config()
    with pytest.raises(UserError, match="no trained pooler"):
        build(TextBackbone(str(again), max_length=32, pooling="pooler"), LinearHead())


def test_a_finished_encoder_can_be_cut_further(finished, text):
    out = finished(text)
    model = build(TextBackbone(str(out), max_length=32, layer=1), LSTMHead(4, 1))
    whole = load(out).model
    batch = load(out).processor(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = whole.backbone(**batch, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(states(model, load(out).processor), expected, atol=0, rtol=0)
    assert model.config.layer == 1 and model.config.backbone_config.num_hidden_layers == 1


def test_input_embeddings_alone(finished, text):
    out = finished(text, backbone=replace(text.backbone, embeddings_only=True))
    model = build(TextBackbone(str(out), max_length=32, embeddings_only=True), LinearHead())
    assert model.config.pooling == "cls" or model.config.pooling == "mean"
    matrix = load(out).model.backbone.word_embeddings.weight
    assert torch.equal(model.backbone.word_embeddings.weight, matrix)
    with pytest.raises(UserError, match="input embeddings alone, without an encoder; add --backbone.embeddings_only"):
        TextBackbone(str(out), max_length=32).load_config()
    with pytest.raises(UserError, match="cannot grow"):
        build(TextBackbone(str(out), max_length=32, embeddings_only=True, add_tokens=("zyx",)), LinearHead())
    whole = build(TextBackbone(str(finished(text)), max_length=32, embeddings_only=True), LinearHead())
    assert torch.equal(whole.backbone.word_embeddings.weight, load(finished(text)).model.get_input_embeddings().weight)


@pytest.mark.parametrize(
    "head,changes",
    [
        (MLPHead((4,)), {}),
        pytest.param(LinearHead(), {}, marks=pytest.mark.slow),
        pytest.param(LSTMHead(4, 1), {"layer": 2}, id="cut"),
        pytest.param(MLPHead((4,)), {"in_chans": 1}, id="grey", marks=pytest.mark.slow),
        pytest.param(NativeHead(), {"in_chans": 1}, id="grey-stock", marks=pytest.mark.slow),
    ],
)
def test_an_image_net_is_taken_with_its_trained_weights(head, changes, finished, image):
    out = finished(image, head=head, backbone=replace(image.backbone, **changes))
    source = load(out).model
    net = getattr(source, "backbone", source).timm_model
    chans = changes.get("in_chans", 3)
    backbone = ImageBackbone(str(out), in_chans=chans)
    assert backbone.load_config().pretrained_cfg["input_size"] == [chans, 32, 32]
    pixels, layer = torch.rand(2, chans, 32, 32), changes.get("layer")
    with torch.no_grad():
        expected = net.forward_intermediates(pixels, indices=[2], stop_early=True, intermediates_only=True)[0]
    for new in (NativeHead(), LinearHead(), MLPHead((4,))):
        if layer is not None and isinstance(new, NativeHead):
            with pytest.raises(UserError, match="reads the whole net, and .* holds a part of it"):
                build(backbone, new)
            continue
        model = build(backbone, new)
        taken = getattr(model, "backbone", model).timm_model
        with torch.no_grad():
            maps = taken.forward_intermediates(pixels, indices=[2], stop_early=True, intermediates_only=True)[0]
        torch.testing.assert_close(maps, expected, atol=1e-5, rtol=1e-4)  # the layout of the memory differs
        held = net.state_dict()
        assert all(torch.equal(held[key], one) for key, one in taken.state_dict().items() if not key.startswith("fc."))
        assert getattr(model.config, "layer", None) == layer
        if layer is None:
            assert model(pixels).logits.shape == (2, 3)
    if layer is not None:
        assert build(ImageBackbone(str(out), layer=1), LinearHead()).config.layer == 1
        with pytest.raises(UserError, match="backbone.layer is 3; .* has stages 0 to 2"):
            build(ImageBackbone(str(out), layer=3), LinearHead())
    if chans == 1:
        with pytest.raises(UserError, match="in_chans is 3; .* reads 1 channel .*--backbone.in_chans 1"):
            ImageBackbone(str(out)).load_config()
    else:
        grey = build(ImageBackbone(str(out), in_chans=1), MLPHead((4,))).backbone.timm_model
        with torch.no_grad():
            one = grey.forward_intermediates(pixels[:, :1], indices=[0], stop_early=True, intermediates_only=True)[0]
            three = net.forward_intermediates(
                pixels[:, :1].expand(-1, 3, -1, -1), indices=[0], stop_early=True, intermediates_only=True
            )[0]
        torch.testing.assert_close(one, three, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_dense_layers_that_were_cut_stay_away(tmp_path, image):
    """VGG under a head of ours has lost its dense layers, so there is no stock model of it any more."""
    folder = mini_image_checkpoint(tmp_path / "vgg", "vgg11")
    backbone = ImageBackbone(str(folder), image_size=32)
    run(replace(image, backbone=backbone, strategy=FrozenFeatures()), tmp_path / "out")
    again = ImageBackbone(str(tmp_path / "out"))
    model = build(again, LinearHead())
    assert model.config.model_type == "transfer_image" and model.head.out.in_features == 512
    with pytest.raises(UserError, match="holds a part of it"):
        build(again, NativeHead())


def test_the_folders_copy_of_our_code_is_not_run(finished, text, tmp_path):
    out = tmp_path / "planted"
    shutil.copytree(finished(text), out)
    for path in out.glob("*.py"):
        path.write_text("raise SystemExit('ran the code of the folder')")
    backbone = TextBackbone(str(out), max_length=32)
    build(backbone, LinearHead())
    for trust in (False, True):
        backbone.load_config(trust)
        backbone.processor(trust)
        open_start(str(out), trust)


def test_a_run_says_what_it_took(finished, text, image, tmp_path, capsys):
    out = finished(text)
    result = run(replace(text, backbone=replace(text.backbone, checkpoint=str(out))), tmp_path / "b", max_steps=1)
    line = "backbone: the encoder of a finished mine/first run, without its lstm head"
    assert line in capsys.readouterr().out and line in result.data["notes"]
    knows = Labels("single_label_classification", ("bad", "good"), None)
    stock = TextBackbone(str(finished(text, head=NativeHead())), max_length=32)
    assert origin(stock, NativeHead(), knows).endswith("run, and its head, which knows these very classes")
    assert origin(stock, NativeHead(), OTHER).endswith("run, without its head")
    assert origin(stock, LinearHead(), knows).endswith("run, without its head")
    cut = ImageBackbone(str(finished(image, head=LSTMHead(4, 1), backbone=replace(image.backbone, layer=2))))
    assert origin(cut, LinearHead(), OTHER) == (
        "backbone: the net of a finished mine/first run, without its lstm head; it was cut after stage 2"
    )
    assert origin(text.backbone, LinearHead(), knows) is None


@pytest.mark.parametrize("change", ["drop", "add", "reshape"])
def test_backbone_weights_that_are_not_whole_are_an_error(change, finished, text, image, tmp_path):
    for recipe, name in ((text, "encoder.layer.1.output.dense.weight"), (image, "timm_model.stem.conv1.conv.weight")):
        out = tmp_path / name
        shutil.copytree(finished(recipe), out)
        weights = load_file(out / "model.safetensors")
        name = name if f"backbone.{name}" in weights else min(weights).removeprefix("backbone.")
        if change == "add":
            weights["backbone.odd"] = torch.zeros(1)
        else:
            old = weights.pop(f"backbone.{name}")
            if change == "reshape":
                weights[f"backbone.{name}"] = old[:1].clone()
        save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
        words = {"drop": f"lacks 'backbone.{name}'", "add": "has, beyond.*odd'", "reshape": "another shape"}
        backbone = replace(recipe.backbone, checkpoint=str(out))
        for head in (LinearHead(), NativeHead()):
            with pytest.raises(UserError, match=words[change]):
                build(backbone, head)
        with pytest.raises(UserError, match="cannot be loaded|weights do not fit"):
            run(recipe, tmp_path / "never", start_from=out)


# ---------------------------------------------------------------------------------------------------------------------
# A finished model trained further, its head too


@pytest.mark.parametrize(
    "kind,head,strategy",
    [
        ("text", LSTMHead(4, 1), FrozenFeatures()),
        ("image", MLPHead((4,)), FrozenFeatures()),
        pytest.param("text", NativeHead(), FullFineTune(), marks=pytest.mark.slow),
        pytest.param("text", LinearHead(), FrozenFeatures(), marks=pytest.mark.slow),
        pytest.param("text", NativeHead(), FrozenFeatures(), marks=pytest.mark.slow),
        pytest.param("text", MLPHead((4,)), FullFineTune(), marks=pytest.mark.slow),
        pytest.param("image", NativeHead(), FrozenFeatures(), marks=pytest.mark.slow),
        pytest.param("image", LSTMHead(4, 1), FrozenFeatures(), marks=pytest.mark.slow),
    ],
)
def test_without_learning_it_says_the_same_and_then_it_moves(
    kind, head, strategy, finished, text, image, photos, tmp_path
):
    recipe = text if kind == "text" else image
    out = finished(recipe, head=head)
    recipe = replace(recipe, head=head, strategy=strategy)
    inputs = TEXTS if kind == "text" else pictures(photos)
    before = probabilities(out, inputs)
    result = run(recipe, tmp_path / "still", start_from=out, max_steps=1, learning_rate=0.0)
    np.testing.assert_allclose(probabilities(tmp_path / "still", inputs), before, atol=1e-7)
    assert result.data["start_from"] == {"source": str(out), "revision": None}
    assert result.data["checkpoint"] == recipe.backbone.checkpoint
    run(recipe, tmp_path / "moved", start_from=str(out), max_steps=2, learning_rate=1e-2, warmup_steps=0)
    assert np.abs(probabilities(tmp_path / "moved", inputs) - before).max() > 1e-3


@pytest.mark.slow
def test_a_probe_goes_on_as_a_fine_tuned_net(finished, image, photos, tmp_path):
    """The last layer of a timm net is a LinearHead and a NativeHead alike, so linear probing, then fine-tuning."""
    out = finished(image, head=LinearHead(), strategy=FrozenFeatures(), training={})
    recipe = replace(image, head=NativeHead())
    before = probabilities(out, pictures(photos))
    run(recipe, tmp_path / "on", start_from=out, learning_rate=0.0, max_steps=1, per_device_train_batch_size=16)
    weights, old = load_file(tmp_path / "on/model.safetensors"), load_file(out / "model.safetensors")
    moved = [name for name in old if not torch.equal(old[name], weights[name])]
    assert all("running" in name or "num_batches" in name for name in moved)  # BatchNorm counts what it sees
    assert before.shape == probabilities(tmp_path / "on", pictures(photos)).shape


def test_a_linear_head_goes_on_by_gradient_descent(finished, text):
    recipe = replace(text, head=LinearHead(), strategy=FrozenFeatures(), training={})
    out = finished(text, head=LinearHead(), strategy=FrozenFeatures(), training={})
    assert json.loads((out / "results.json").read_text())["fit"]["fit"] == "lbfgs"
    start = open_start(str(out))
    settled, line = start.settle(recipe)
    assert settled.head.fit == "sgd"
    assert line.startswith(
        "start: backbone and head of a finished mine/first run; the head goes on by gradient descent"
    )
    for head in (LinearHead(fit="lbfgs"), LinearHead(l2=0.1)):
        with pytest.raises(UserError, match="would keep nothing of its head; set --head.fit sgd --head.l2 none, or"):
            start.settle(replace(recipe, head=head))
    for free in (replace(recipe, head=LinearHead(fit="sgd")), replace(recipe, strategy=FullFineTune())):
        assert start.settle(free) == (free, "start: backbone and head of a finished mine/first run")


def test_the_order_of_the_labels_is_the_models(text, tmp_path):
    rows = make_texts(120)
    columns = {"body": [row[0] for row in rows], "stars": [["good", "bad"].index(row[1]) for row in rows]}
    types = Features({"body": Value("string"), "stars": ClassLabel(names=["good", "bad"])})
    declared = TextClassification(Dataset.from_dict(columns, features=types), text="body", label="stars")
    recipe = replace(text, head=NativeHead())
    longer = dict(max_steps=-1, num_train_epochs=6, learning_rate=5e-3)
    first = run(replace(recipe, data=declared), tmp_path / "a", **longer)
    assert first.data["labels"] == ["good", "bad"]
    again = run(recipe, tmp_path / "b", start_from=tmp_path / "a", max_steps=1, learning_rate=0.0)
    assert again.data["labels"] == ["good", "bad"]
    before, after = (load(tmp_path / name).predict(TEXTS) for name in "ab")
    for old, new in zip(before, after, strict=True):
        assert new.probabilities == pytest.approx(old.probabilities, abs=1e-7)  # by name
    # And the rows' own labels, which were read in the other order, are counted by name too.
    right = accuracy_of(tmp_path / "a", recipe)
    assert again.metrics["test"]["accuracy"] == pytest.approx(right) and right != 0.5


@pytest.mark.slow
def test_regression_under_another_column_name(text, tmp_path):
    rows = [(words, 2.5 if label == "good" else -1.5) for words, label in make_texts(60)]
    first, second = (write_csv(tmp_path / f"{name}.csv", ["body", name], rows) for name in ("stars", "score"))
    run(replace(text, data=TextClassification(str(first), label="stars")), tmp_path / "a")
    recipe = replace(text, data=TextClassification(str(second), label="score"))
    result = run(recipe, tmp_path / "b", start_from=tmp_path / "a", max_steps=1)
    assert result.data["labels"] == ["stars"] and result.data["problem_type"] == "regression"


def test_rows_that_do_not_fit(finished, text, tmp_path):
    out = finished(text)
    classes = ("bad", "good", "ugly")
    new = [(f"{words} {number}", classes[number % 3]) for number, (words, _) in enumerate(make_texts(90))]
    three = TextClassification(str(write_csv(tmp_path / "new.csv", ["body", "stars"], new)), label="stars")
    anew = f"leave --start_from out and pass --backbone.checkpoint {out}"
    with pytest.raises(UserError, match=f"the label 'ugly' is new to it .it knows bad, good.; for a new head {anew}"):
        run(replace(text, data=three), tmp_path / "never", start_from=out)
    start = replace(open_start(str(out)), labels=Labels("single_label_classification", ("good", "ugly", "bad")))
    assert start.check_labels(load_data(three, label_order=start.labels.names)).labels.names == start.labels.names
    with pytest.raises(UserError, match="no row has its label 'ugly' .it knows good, ugly, bad.; for a new head"):
        start.check_labels(load_data(text.data, label_order=start.labels.names))
    numbers = [(words, 0.5 * number) for number, (words, _) in enumerate(make_texts(60))]
    table = TextClassification(str(write_csv(tmp_path / "numbers.csv", ["body", "stars"], numbers)), label="stars")
    with pytest.raises(UserError, match="trained for single_label.*were taken for regression; --data.problem_type"):
        start.check_labels(load_data(table))
    assert not (tmp_path / "never").exists() or not any((tmp_path / "never").iterdir())


def test_a_recipe_of_another_shape(finished, text, image, tmp_path, mini_text):
    out = finished(text)
    own = f"go on with its own recipe: `run_recipe.py {out} --start_from {out} --data.train FILE`"
    for changed, words in (
        (replace(text, head=LSTMHead(8, 1)), "head.hidden_size was 4 when it was made and is 8 here"),
        (replace(text, head=MLPHead((4,))), "head was 'LSTMHead' when it was made and is 'MLPHead' here"),
        (replace(text, backbone=replace(text.backbone, layer=1)), "backbone.layer was None .* is 1 here"),
        (replace(text, backbone=replace(text.backbone, add_tokens=("x",))), "backbone.add_tokens was .* is .'x',."),
        (replace(text, backbone=replace(text.backbone, pooling="mean")), "backbone.pooling was 'pooler' .* is 'mean'"),
        (replace(text, backbone=TextBackbone("a/b", max_length=32)), f"checkpoint was '{mini_text}' .* is 'a/b' here"),
        (image, "backbone was 'TextBackbone' when it was made and is 'ImageBackbone' here"),
    ):
        with pytest.raises(UserError, match=f"{words}.*{own}"):
            run(changed, tmp_path / "never", start_from=out)
    start = open_start(str(out))
    for checkpoint in (mini_text, out):
        for asked in ("auto", "pooler"):
            same = replace(text.backbone, pooling=asked, checkpoint=str(checkpoint))
            assert start.settle(replace(text, backbone=same))[0].backbone == same
    with pytest.raises(UserError, match="not a finished run .it holds no recipe.json.*--backbone.checkpoint"):
        run(text, tmp_path / "never", start_from=mini_text)
    with pytest.raises(UserError, match="--start_from nobody/nothing: neither a folder on this disk nor to be had"):
        run(text, tmp_path / "never", start_from="nobody/nothing")


def test_dropout_is_the_recipes(finished, text):
    head = replace(text.head, dropout=0.5)
    start = open_start(str(finished(text)))
    model = start.build(start.settle(replace(text, head=head))[0])
    assert model.config.head["dropout"] == 0.5 and model.head.dropout.p == 0.5 and model.training


@pytest.mark.slow
@pytest.mark.parametrize("head", [MLPHead((4,)), NativeHead()])
def test_pictures_of_another_size(head, finished, image, photos, tmp_path):
    """What is measured is what was trained on, so the new size must be saved."""
    out = finished(image, head=head)
    recipe = replace(image, head=head, backbone=replace(image.backbone, image_size=48), strategy=FrozenFeatures())
    result = run(recipe, tmp_path / "out", start_from=out, max_steps=1)
    content = json.loads((tmp_path / "out/config.json").read_text())
    for config in filter(None, (content, content.get("backbone_config"))):
        assert config["pretrained_cfg"]["input_size"] == [3, 48, 48]
    predictor = load(tmp_path / "out")
    rows = {"image": load_data(recipe.data, progress=False).test["image"][:1]}
    assert predictor.backbone.preprocess(rows, predictor.processor)["pixel_values"].shape[-1] == 48
    assert result.recipe["backbone"]["image_size"] == 48


@pytest.mark.slow
def test_over_the_very_folder_it_starts_from(finished, text, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished(text), out)
    before = probabilities(out, TEXTS)
    run(text, out, start_from=out, overwrite=True, max_steps=2)
    assert np.abs(probabilities(out, TEXTS) - before).max() > 1e-4


@pytest.mark.slow
def test_resumed_it_goes_on_from_the_checkpoint(finished, text, tmp_path, monkeypatch):
    """The checkpoint wins over the model that was started from, and the two runs must be the same."""
    import signal

    from hf_transfer.callbacks import StopOnSignal
    from hf_transfer.runner import Interrupted

    out = finished(text)
    settings = {**text.training, "max_steps": 6, "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    recipe = replace(text, training={**settings, "save_strategy": "steps"})
    whole = run(recipe, tmp_path / "whole", start_from=out)
    on_step_end = StopOnSignal.on_step_end

    def interrupt(self, args, state, control, **kwargs):
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return on_step_end(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", interrupt)
        with pytest.raises(Interrupted):
            run(recipe, tmp_path / "on", start_from=out)
    with pytest.raises(UserError, match="--resume: start_from.* was .* and is now None"):
        run(recipe, tmp_path / "on", resume=True)
    resumed = run(recipe, tmp_path / "on", start_from=out, resume=True)
    assert resumed.metrics == whole.metrics


def test_from_the_command_line_with_its_own_recipe(finished, text, tmp_path, monkeypatch, capsys):
    from hf_transfer import cli
    from hf_transfer.scrub import public_files

    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished(text), "first")
    new = write_csv(tmp_path / "new.csv", ["body", "stars"], make_texts(80, seed=9))
    words = ["first", "--start_from", "first", "--data.train", new, "--data.label", "stars", "--output_dir", "second"]
    assert cli.main(["run", *map(str, words), "--max_steps", "1"]) == 0
    assert "start: backbone and head of a finished mine/first run" in capsys.readouterr().out
    results = json.loads(Path("second/results.json").read_text())
    assert results["start_from"] == {"source": "first", "revision": None}
    public = json.loads(public_files(Path("second"), ["results.json"])["results.json"])
    assert public["start_from"] == {"source": "./first", "revision": None}
    assert cli.main(["run", "text/lstm_frozen", "--start_from", "first", "--data.train", str(new)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "head.hidden_size was 4 when it was made and is 256 here" in error
