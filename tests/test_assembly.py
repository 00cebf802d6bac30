"""Building models: what is loaded, what is new, what is left out, and what is refused."""

import json

import numpy as np
import pytest
import torch
from mini import mini_image_checkpoint, mini_text_checkpoint
from PIL import Image
from transformers import AutoModelForSequenceClassification

from hf_transfer import ImageBackbone, LinearHead, LSTMHead, MLPHead, NativeHead, TextBackbone, UserError
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels

LABELS = Labels("single_label_classification", ("bad", "good"), None)
HEADS = {"bert": "classifier.weight", "distilbert": "pre_classifier.weight", "roberta": "classifier.dense.weight"}


def build(backbone, head, labels=LABELS):
    return build_model(backbone, head, labels, backbone.processor())


def test_depths_run_from_embeddings_to_head(mini_text):
    backbone = TextBackbone(str(mini_text), max_length=32)
    for head in (NativeHead(), LSTMHead(4, 1)):
        depths = backbone.depths(build(backbone, head))
        found = {depth: [name for name in depths if depths[name] == depth] for depth in set(depths.values())}
        assert sorted(found) == [0, 1, 2, 3]
        assert all("embeddings" in name for name in found[0])
        assert all("layer.1." in name or "pooler" in name for name in found[2])
        assert all(name.startswith(("classifier", "head")) for name in found[3])


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_image_depths_end_with_the_head(architecture, tmp_path):
    backbone = ImageBackbone(str(mini_image_checkpoint(tmp_path / "net", architecture)))
    depths = backbone.depths(build(backbone, NativeHead()))
    top = max(depths.values())
    heads = [name for name in depths if depths[name] == top]
    assert len(heads) == 2 and {name.rsplit(".", 1)[1] for name in heads} == {"weight", "bias"}
    assert set(depths.values()) == set(range(top + 1))


def test_layer_cuts_the_encoder_and_equals_its_hidden_state(mini_text):
    from transformers import AutoModel

    backbone = TextBackbone(str(mini_text), max_length=32, layer=1, pooling="mean")
    model = build(backbone, LinearHead()).eval()
    assert len(model.backbone.encoder.layer) == 1
    batch = backbone.processor()(["great film", "a dull plot it was"], padding=True, return_tensors="pt")
    whole = AutoModel.from_pretrained(mini_text).eval()
    with torch.no_grad():
        expected = whole(**batch, output_hidden_states=True).hidden_states[1]
        assert torch.equal(model.read(**batch).tokens, expected)


def test_image_layer_reads_an_earlier_stage(tmp_path):
    import timm

    folder = mini_image_checkpoint(tmp_path / "net", "test_resnet")
    model = build(ImageBackbone(str(folder), layer=2), LinearHead()).eval()
    net = timm.create_model("test_resnet", num_classes=7).eval()
    whole = build(ImageBackbone(str(folder)), NativeHead()).timm_model.eval()
    net.load_state_dict({k: v for k, v in whole.state_dict().items() if "fc" not in k}, strict=False)
    pixels = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        maps = net.forward_intermediates(pixels, indices=[2], intermediates_only=True)[0]
        torch.testing.assert_close(model.encode(pixels).pooled, maps.mean((2, 3)), atol=1e-6, rtol=1e-5)
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in whole.parameters())
    with pytest.raises(UserError, match="backbone.layer is 9"):
        build(ImageBackbone(str(folder), layer=9), LinearHead())
    with pytest.raises(UserError, match="NativeHead reads the whole net"):
        build(ImageBackbone(str(folder), layer=2), NativeHead())


def test_grey_images_use_adapted_pretrained_weights(tmp_path):
    """One channel sees the summed colour weights: on a grey picture the features equal the colour net's."""
    folder = mini_image_checkpoint(tmp_path / "net", "test_resnet")
    grey = build(ImageBackbone(str(folder), in_chans=1), MLPHead((4,))).eval()
    colour = build(ImageBackbone(str(folder)), MLPHead((4,))).eval()
    pixels = torch.randn(2, 1, 96, 96)
    with torch.no_grad():
        a, b = grey.encode(pixels).pooled, colour.encode(pixels.expand(-1, 3, -1, -1)).pooled
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_added_tokens_grow_the_embeddings(mini_text):
    backbone = TextBackbone(str(mini_text), max_length=32, add_tokens=("wonderful", "<x>"))
    for head in (NativeHead(), LinearHead(), LSTMHead(4, 1)):
        tokenizer = backbone.processor()
        model = build_model(backbone, head, LABELS, tokenizer)
        assert model.get_input_embeddings().num_embeddings == len(tokenizer)
        assert tokenizer.tokenize("wonderful <x>") == ["wonderful", "<x>"]


def test_auto_pooling_is_what_the_checkpoint_says(tmp_path):
    folder = mini_text_checkpoint(tmp_path / "plain", "bert")
    assert build(TextBackbone(str(folder), max_length=32), LinearHead()).config.pooling == "pooler"
    folder = mini_text_checkpoint(tmp_path / "distil", "distilbert")
    assert build(TextBackbone(str(folder), max_length=32), LinearHead()).config.pooling == "cls"
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    config = build(TextBackbone(str(folder), max_length=32), LinearHead()).config
    assert (config.pooling, config.normalize) == ("max", False)
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Normalize"}]))
    assert build(TextBackbone(str(folder), max_length=32), LinearHead()).config.normalize
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_weightedmean_tokens": True}))
    with pytest.raises(UserError, match="1_Pooling"):
        build(TextBackbone(str(folder), max_length=32), LinearHead())


def test_a_head_trained_on_other_classes_is_not_kept(tmp_path, mini_text):
    """And one trained on the same classes is, in its own order (transformers#10401)."""
    backbone = TextBackbone(str(mini_text), max_length=32)
    model = build(backbone, NativeHead())
    with torch.no_grad():
        model.classifier.weight.fill_(7.0)
    model.save_pretrained(tmp_path)
    backbone.processor().save_pretrained(tmp_path)
    trained = TextBackbone(str(tmp_path), max_length=32)
    assert (build(trained, NativeHead()).classifier.weight == 7.0).all()
    other = Labels("single_label_classification", ("ham", "spam"), None)
    assert not (build(trained, NativeHead(), other).classifier.weight == 7.0).any()
    three = Labels("single_label_classification", ("a", "b", "c"), None)
    assert build(trained, NativeHead(), three).classifier.weight.shape[0] == 3


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_a_new_head_is_the_one_that_transformers_draws_of_this_seed(tmp_path, architecture):
    """So that a run of ours and one of stock `Trainer` start from the same model, seed by seed."""
    backbone = TextBackbone(str(mini_text_checkpoint(tmp_path, architecture)), max_length=32)
    torch.manual_seed(3)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=2).state_dict()
    torch.manual_seed(3)
    ours = build(backbone, NativeHead()).state_dict()
    assert ours.keys() == stock.keys()
    assert [name for name in stock if not torch.equal(stock[name], ours[name])] == []
    assert not torch.equal(*(build(backbone, NativeHead()).state_dict()[HEADS[architecture]] for _ in range(2)))


def test_timm_checkpoint_with_its_class_count_twice(tmp_path):
    """`save_for_hf` may leave `model_args.num_classes`, which the wrapper then passes a second time."""
    folder = mini_image_checkpoint(tmp_path / "net", "test_resnet")
    config = json.loads((folder / "config.json").read_text())
    config["model_args"] = {"num_classes": 7}
    (folder / "config.json").write_text(json.dumps(config))
    assert build(ImageBackbone(str(folder)), NativeHead()).num_labels == 2


def test_vgg_without_its_dense_top(tmp_path):
    """ "Without top" is the 512 pooled convolutional features, not 134 M parameters of dense layers."""
    folder = mini_image_checkpoint(tmp_path / "net", "vgg11")
    model = build(ImageBackbone(str(folder), image_size=32), MLPHead((16,))).eval()
    assert model.head.hidden[0].in_features == 512
    assert sum(p.numel() for p in model.backbone.parameters()) < 10_000_000
    with torch.no_grad():
        maps = model.backbone.timm_model.forward_features(torch.ones(1, 3, 32, 32))
        torch.testing.assert_close(model.encode(torch.ones(1, 3, 32, 32)).pooled, maps.mean((2, 3)))


def test_missing_backbone_weights_are_an_error(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = mini_text_checkpoint(tmp_path / "net", "bert")
    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for head in (NativeHead(), LinearHead()):
        with pytest.raises(UserError, match="lacks 1 of the backbone's weights.*layer.1.output.dense.weight"):
            build(TextBackbone(str(folder), max_length=32), head)


def test_backbone_weights_of_another_shape_are_an_error(tmp_path):
    from safetensors.torch import load_file, save_file

    text, image = mini_text_checkpoint(tmp_path / "text", "bert"), mini_image_checkpoint(tmp_path / "image")
    for folder in (text, image):
        weights = load_file(folder / "model.safetensors")
        name = next(name for name in sorted(weights) if name.endswith(("layer.1.output.dense.weight", "conv1.weight")))
        weights[name] = weights[name][:1].clone()
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for backbone in (TextBackbone(str(text), max_length=32), ImageBackbone(str(image))):
        for head in (NativeHead(), LinearHead()):
            with pytest.raises(UserError, match="lacks 1 of the backbone's weights.*of another architecture"):
                build(backbone, head)


def test_the_wrong_kind_of_checkpoint(mini_text, mini_image):
    for backbone, words in (
        (TextBackbone(str(mini_image)), "not a text encoder"),
        (ImageBackbone(str(mini_text)), "not a timm image net"),
        (TextBackbone("nobody/such-model"), "neither a folder on this disk nor reachable.*--demo"),
        (TextBackbone(str(mini_text), max_length=500), "max_length is 500.*at most 80 tokens"),
        (TextBackbone(str(mini_text), max_length=32, layer=9), "layer is 9.*has 2 blocks"),
    ):
        with pytest.raises(UserError, match=words):
            backbone.load_config()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr"])
def test_images_of_any_mode_become_colours(mode, mini_image):
    backbone = ImageBackbone(str(mini_image))
    source = Image.fromarray(np.full((8, 8), 40000 if mode.startswith("I") else 155, dtype="uint16"))
    image = source.convert(mode) if mode in ("I", "I;16", "F") else Image.new("L", (8, 8), 155).convert(mode)
    result = backbone.as_colours(image)
    assert result.mode == "RGB"
    if mode not in ("1", "F"):
        assert abs(result.getpixel((4, 4))[0] - 155) <= 2
    assert ImageBackbone(str(mini_image), in_chans=1).as_colours(image).mode == "L"


def test_transparency_is_laid_on_white(mini_image):
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert ImageBackbone(str(mini_image)).as_colours(clear).getpixel((0, 0)) == (255, 255, 255)


def test_multi_band_images(tmp_path):
    """A five-page TIFF is one image of five channels, through data, training and prediction."""
    from hf_transfer import ImageClassification, Recipe, load, run

    draw = np.random.default_rng(0)
    for level, name in enumerate(("dark", "light")):
        (tmp_path / "bands" / name).mkdir(parents=True)
        for number in range(8):
            pages = [
                Image.fromarray((draw.integers(0, 60, (24, 24)) + level * 150 + page).astype("uint8"))
                for page in range(5)
            ]
            pages[0].save(tmp_path / "bands" / name / f"{number}.tiff", save_all=True, append_images=pages[1:])
    folder = mini_image_checkpoint(tmp_path / "net", "test_resnet")
    backbone = ImageBackbone(str(folder), image_size=32, in_chans=5)
    picture = Image.open(tmp_path / "bands/light/0.tiff")
    batch = backbone.preprocess({"image": [picture]}, backbone.processor())
    assert batch["pixel_values"].shape == (1, 5, 32, 32)
    recipe = Recipe(summary="bands", data=ImageClassification(str(tmp_path / "bands")), backbone=backbone)
    run(recipe, tmp_path / "out", max_steps=2, per_device_train_batch_size=4)
    assert load(tmp_path / "out").predict([tmp_path / "bands/dark/0.tiff"])[0].label in ("dark", "light")
    with pytest.raises(UserError, match="has 5 pages; backbone.in_chans asks for 6"):
        ImageBackbone(str(folder), in_chans=6).as_channels(picture)
