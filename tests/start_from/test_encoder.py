"""The encoder of a finished model under a new head."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mini import make_texts, mini_image_checkpoint
from safetensors.torch import load_file, save_file

from hf_transfer import (
    FrozenFeatures,
    ImageBackbone,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    TextBackbone,
    UserError,
    load,
    run,
)
from hf_transfer.assembly import build_model, origin
from hf_transfer.data import Labels
from hf_transfer.start import open_start

TEXTS = [text for text, _ in make_texts(8, seed=5)]
OTHER = Labels("single_label_classification", ("ham", "spam", "other"), None)


def build(backbone, head, labels=OTHER):
    return build_model(backbone, head, labels, backbone.processor()).eval()


def states(model, tokenizer):
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.base_model(**batch).last_hidden_state


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
