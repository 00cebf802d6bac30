"""Layer fusion as a noun: recipes, flags and JSON, what is refused, and exact replay of recorded layers."""

import json
from dataclasses import replace

import pytest
import torch
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint

from hf_transfer import (
    AttentionHead,
    FrozenFeatures,
    GRUHead,
    ImageBackbone,
    LayerFusion,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
)
from hf_transfer.assembly import _check_hidden_states, build_model
from hf_transfer.data import Labels
from hf_transfer.features.key import backbone_identity
from hf_transfer.flags import apply_overrides, parse_flags, recipe_flags
from hf_transfer.helptext import recipe_help
from hf_transfer.hub.modeling_transfer import InputEmbeddings
from hf_transfer.linear.choice import settle_fit
from hf_transfer.places import places, put
from hf_transfer.recipe_json import recipe_from_dict, recipe_to_dict
from hf_transfer.replay import replay_of

LABELS = Labels("single_label_classification", ("bad", "good"), None)
RECIPE = Recipe(
    summary="a mix of layers",
    data=TextClassification("rows.csv"),
    backbone=TextBackbone("some/encoder", fusion=LayerFusion(layers=(0, 3, 6))),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)


def text_model(folder, head, **backbone):
    spec = TextBackbone(str(folder), max_length=32, **backbone)
    return build_model(spec, head, LABELS, spec.processor())


def image_model(folder, head, **backbone):
    return build_model(ImageBackbone(str(folder), **backbone), head, LABELS, None)


def stir(model):
    """Leave the start, where a scalar mix is the mean."""
    torch.manual_seed(1)
    if model.fusion is not None:
        for parameter in model.fusion.parameters():
            torch.nn.init.normal_(parameter)
    return model.eval()


@torch.no_grad()
def assert_replay_is_exact(model, batch, layers: int | None):
    """The head on a recording of the backbone gives the model's logits; `layers` of them are recorded apart."""
    replay = replay_of(stir(model)).eval()
    recorded = replay.record(model, dict(batch))
    kept = {name: recorded[name] for name in replay.keeps}
    (name,) = kept
    assert kept[name].ndim == {"pooled": 2, "tokens": 3}[name] + (layers is not None)
    assert layers is None or kept[name].shape[-2] == layers
    if name == "tokens":
        kept["mask"] = recorded["mask"]
    torch.testing.assert_close(replay(**kept).logits, model(**batch).logits, atol=1e-6, rtol=1e-5)
    own = {id(parameter) for parameter in model.fusion.parameters()} if model.fusion is not None else set()
    assert own <= {id(parameter) for parameter in replay.parameters()}  # what is learnt there is learnt here


# ---------------------------------------------------------------------------------------------------------------------
# The noun


def test_json_places_flags_and_help():
    again = recipe_from_dict(json.loads(json.dumps(recipe_to_dict(RECIPE))))
    assert again == RECIPE and recipe_to_dict(RECIPE)["backbone"]["fusion"]["kind"] == "LayerFusion"
    without = replace(RECIPE, backbone=replace(RECIPE.backbone, fusion=None))
    assert recipe_from_dict(recipe_to_dict(without)) == without
    found = places(RECIPE)
    assert list(found)[:4] == ["data", "backbone", "backbone.fusion", "head"]
    assert all(put(RECIPE, place, noun) == RECIPE for place, noun in found.items())
    words = ["--backbone.fusion.method", "mean", "--backbone.fusion.layers=1,2", "--backbone.max_length", "9"]
    changed, _ = apply_overrides(RECIPE, parse_flags(words, recipe_flags(RECIPE), RECIPE))
    assert changed.backbone.fusion == LayerFusion("mean", (1, 2)) and changed.backbone.max_length == 9
    everything, _ = apply_overrides(RECIPE, {"backbone.fusion.layers": None})
    assert everything.backbone.fusion == LayerFusion()
    page = recipe_help(RECIPE, "x", "run", {})
    assert " backbone.fusion: LayerFusion" in page and "--backbone.fusion.layers 0,3,6" in page
    assert "backbone.fusion" not in recipe_help(without, "x", "run", {})
    assert "--backbone.fusion" not in recipe_flags(RECIPE)


@pytest.mark.parametrize(
    "change,words",
    [
        (lambda: LayerFusion("sum"), "'sum'; allowed: scalar_mix, mean"),
        (lambda: LayerFusion(layers=(3,)), "two layers or more"),
        (lambda: LayerFusion(layers=(3, 1)), "rising order"),
        (lambda: LayerFusion(layers=(-1, 1)), "counted from 0"),
        (lambda: TextBackbone("x", fusion="mean"), "'mean'; allowed: LayerFusion"),
        (lambda: TextBackbone("x", fusion=LayerFusion(), layer=2), "backbone.layer reads one layer"),
        (lambda: TextBackbone("x", fusion=LayerFusion(), pooling="pooler"), "'pooler', a layer that reads the last"),
        (lambda: TextBackbone("x", fusion=LayerFusion(), embeddings_only=True), "leaves no layers"),
        (lambda: ImageBackbone("x", fusion=LayerFusion(), layer=2), "backbone.layer reads one layer"),
        (lambda: replace(RECIPE, head=NativeHead()), "NativeHead reads the last layer alone"),
        (lambda: recipe_from_dict({**recipe_to_dict(RECIPE), "head": {"kind": "LayerFusion"}}), "head is LayerFusion"),
        (lambda: AttentionHead(num_heads=0), "at least 1"),
        (lambda: GRUHead(hidden_size=0), "GRUHead.hidden_size"),
    ],
)
def test_what_is_refused_when_it_is_named(change, words):
    with pytest.raises(UserError, match=words):
        change()


def test_what_is_refused_when_the_model_is_built(mini_text, mini_image):
    mix = LayerFusion()
    with pytest.raises(UserError, match="names 3; .* has hidden states 0 to 2"):
        text_model(mini_text, LinearHead(), fusion=LayerFusion(layers=(0, 3)))
    with pytest.raises(UserError, match="names 9; .* has blocks or stages 0 to"):
        image_model(mini_image, LinearHead(), fusion=LayerFusion(layers=(0, 9)))
    for build, folder in ((text_model, mini_text), (image_model, mini_image)):
        with pytest.raises(UserError, match="NativeHead reads the last layer alone"):
            build(folder, NativeHead(), fusion=mix)
    with pytest.raises(UserError, match="differ in size.* LSTMHead reads several"):
        image_model(mini_image, LSTMHead(4, 1), fusion=mix)
    with pytest.raises(UserError, match="differ in size.* 'attention' reads several"):
        image_model(mini_image, LinearHead(), fusion=mix, pooling="attention")
    with pytest.raises(UserError, match=r"num_heads: 3 does not divide the width 16; allowed: \[1, 2, 4, 8, 16\]"):
        text_model(mini_text, AttentionHead(num_heads=3))


def test_an_encoder_that_keeps_its_layers_to_itself_is_refused():
    with pytest.raises(UserError, match="hidden states of one width.* leave backbone.fusion out"):
        _check_hidden_states(InputEmbeddings(10, 16), (0, 1), 16, "x")


def test_a_mix_that_learns_is_trained_by_gradient_descent():
    assert settle_fit(RECIPE, frozen=True) == "sgd"
    mean = put(RECIPE, "backbone.fusion", LayerFusion("mean"))
    assert settle_fit(mean, frozen=True) == "lbfgs"
    assert settle_fit(mean, frozen=True, single=False) == "sgd"  # the stages of a convolutional net: projections
    with pytest.raises(UserError, match="head.fit is 'lbfgs', but backbone.fusion is learned"):
        settle_fit(replace(RECIPE, head=LinearHead(fit="lbfgs")), frozen=True)


# ---------------------------------------------------------------------------------------------------------------------
# The model


def test_layers_of_an_encoder_are_its_hidden_states(mini_text):
    texts = dict(
        TextBackbone(str(mini_text)).processor()([t for t, _ in make_texts(4)], padding=True, return_tensors="pt")
    )
    whole = text_model(mini_text, LSTMHead(4, 1)).eval()
    with torch.no_grad():
        states = whole.backbone(**texts, output_hidden_states=True).hidden_states
        for layers in ((0, 2), (0, 1)):
            model = text_model(mini_text, LSTMHead(4, 1), fusion=LayerFusion("mean", layers)).eval()
            expected = (states[layers[0]] + states[layers[1]]) / 2
            torch.testing.assert_close(model.encode(**texts).tokens, expected)
            assert len(model.backbone.encoder.layer) == layers[-1]  # what lies above is left out
    auto = text_model(mini_text, LinearHead(), fusion=LayerFusion())
    assert auto.config.pooling == "mean" and auto.backbone.pooler is None
    assert TextBackbone(str(mini_text)).depths(auto)["fusion.scalars"] == 3  # of the head's depth: it always moves


def test_layers_of_a_vit_are_its_blocks_as_its_own_norm_gives_them(tmp_path):
    folder = mini_image_checkpoint(tmp_path / "vit", "test_vit")
    pixels = torch.randn(2, 3, 160, 160)
    plain, mixed = (image_model(folder, MLPHead((4,)), **one).eval() for one in ({}, {"fusion": LayerFusion()}))
    with torch.no_grad():
        mixed.fusion.scalars.copy_(torch.tensor([0.0] * 5 + [100.0]))  # the last block alone: the plain net
        torch.testing.assert_close(mixed.encode(pixels).pooled, plain.encode(pixels).pooled)
    cut = image_model(folder, LinearHead(), fusion=LayerFusion("mean", (0, 2)))
    assert len(cut.backbone.timm_model.blocks) == 3 and cut.fusion is None


def test_layers_of_a_convolutional_net_are_its_pooled_stages(mini_image):
    pixels = torch.randn(2, 3, 64, 64)
    for pooling in ("auto", "max"):
        model = image_model(mini_image, LinearHead(), fusion=LayerFusion(layers=(1, 3)), pooling=pooling).eval()
        net = model.backbone.timm_model
        with torch.no_grad():
            maps = net.forward_intermediates(pixels, indices=[1, 3], intermediates_only=True)
            pooled = torch.cat([one.amax((2, 3)) if pooling == "max" else one.mean((2, 3)) for one in maps], -1)
            torch.testing.assert_close(model.read(pixels).pooled, pooled)
        assert [layer.out_features for layer in model.fusion.projections] == [net.feature_info[3]["num_chs"]] * 2


POOLINGS = ("cls", "mean", "max", "attention")


def text_cases():
    for method, layers in (("mean", None), ("scalar_mix", 3)):
        yield from ((method, pooling, LinearHead(), layers) for pooling in POOLINGS)
        yield from ((method, "mean", head, layers) for head in (GRUHead(4, 1), AttentionHead(2)))


def assert_exact_for_texts(folder, bare=False):
    for method, pooling, head, layers in text_cases():
        model = text_model(folder, head, pooling=pooling, fusion=LayerFusion(method))
        tokenizer = TextBackbone(str(folder)).processor()
        batch = dict(tokenizer([text for text, _ in make_texts(5)], padding=True, return_tensors="pt"))
        if bare:
            batch.pop("token_type_ids", None)
        assert_replay_is_exact(model, batch, layers)


def test_replay_is_exact_for_texts(mini_text):
    assert_exact_for_texts(mini_text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", ["roberta", "distilbert", "deberta-v2", "electra", "modernbert", "mpnet", "albert"]
)
def test_replay_is_exact_for_other_encoders(architecture, tmp_path):
    folder = mini_text_checkpoint(tmp_path / architecture, architecture)
    assert_exact_for_texts(folder, bare=architecture in ("distilbert", "modernbert"))


@pytest.mark.parametrize("method", ["mean", "scalar_mix"])
@pytest.mark.parametrize(
    "architecture",
    [
        "test_resnet",
        "test_vit",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("test_convnext", "test_efficientnet", "test_vit3")),
    ],
)
def test_replay_is_exact_for_images(architecture, method, tmp_path):
    folder, alike = mini_image_checkpoint(tmp_path / "net", architecture), architecture.startswith("test_vit")
    cases = [(pooling, MLPHead((4,))) for pooling in ("auto", "mean", "max", "attention")]
    cases += [("auto", LSTMHead(4, 1)), ("auto", AttentionHead(2))]
    for pooling, head in cases if alike else cases[:3]:
        model = image_model(folder, head, pooling=pooling, fusion=LayerFusion(method))
        blocks = len(model.config.fusion["layers"]) if alike and method == "scalar_mix" else None
        assert_replay_is_exact(model, {"pixel_values": torch.randn(2, 3, 160, 160)}, blocks)


def test_recordings_of_other_layers_have_other_names(mini_text, mini_image):
    def identity(build, folder, **backbone):
        model = build(folder, LinearHead(), **backbone)
        keeps = replay_of(model).keeps
        return json.dumps(backbone_identity(model, keeps), sort_keys=True)

    fusions = (None, LayerFusion(), LayerFusion("mean"), LayerFusion("mean", (0, 2)), LayerFusion("mean", (1, 2)))
    texts = {identity(text_model, mini_text, pooling="mean", fusion=one) for one in fusions}
    assert len(texts) == len(fusions)
    images = {identity(image_model, mini_image, fusion=LayerFusion(), pooling=one) for one in ("auto", "max")}
    assert len(images) == 2
