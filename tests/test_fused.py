"""Backbone fusion as a noun, as a formula, and as a model: what is refused, what comes out, and what is recorded."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import PartialState
from mini import mini_image_checkpoint, mini_text_checkpoint, write_text_images

from hf_transfer import (
    BSS,
    DELTA,
    L2SP,
    FrozenFeatures,
    FullFineTune,
    FusedBackbone,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    MLPHead,
    NativeHead,
    Recipe,
    Supervised,
    TextBackbone,
    TextClassification,
    TextImageClassification,
    UserError,
)
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels, load_data
from hf_transfer.features.fused import record_parts
from hf_transfer.features.splits import record_splits
from hf_transfer.flags import apply_overrides, recipe_flags
from hf_transfer.helptext import recipe_help
from hf_transfer.hub.modeling_fused import Fusion
from hf_transfer.inputs import collator, encode
from hf_transfer.linear.choice import settle_fit
from hf_transfer.recipe_json import recipe_from_dict, recipe_to_dict
from hf_transfer.replay import replay_of

LABELS = Labels("single_label_classification", ("bad", "good"), None)
TEXTS = {"source": TextBackbone("a/b"), "target": TextBackbone("c/d")}
TWO = FusedBackbone(TEXTS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """An encoder and a deeper, wider one with the same vocabulary, and two nets."""
    folder = tmp_path_factory.mktemp("nets")
    return {
        "bert": mini_text_checkpoint(folder / "bert"),
        "wide": mini_text_checkpoint(folder / "wide", "roberta", hidden_size=24, num_hidden_layers=3),
        "cnn": mini_image_checkpoint(folder / "cnn"),
        "vit": mini_image_checkpoint(folder / "vit", "test_vit"),
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return write_text_images(tmp_path_factory.mktemp("both"))


def text(checkpoint, **changes) -> TextBackbone:
    return TextBackbone(checkpoint, **{"max_length": 32, **changes})


def image(checkpoint, **changes) -> ImageBackbone:
    return ImageBackbone(checkpoint, **{"image_size": 32, **changes})


def recipe(backbone=TWO, head=LinearHead(), data=None, **changes) -> Recipe:  # noqa: B008 - immutable
    data = data or TextClassification("reviews.csv")
    return Recipe(summary="fused", data=data, backbone=backbone, head=head, strategy=FrozenFeatures(), **changes)


# ---------------------------------------------------------------------------------------------------------------------
# The noun


@pytest.mark.parametrize(
    "settings, words",
    [
        (dict(parts={"source": TextBackbone("a")}), "two backbones by name"),
        (dict(parts=[TextBackbone("a"), TextBackbone("b")]), "two backbones by name"),
        (dict(parts={"source": TextBackbone("a"), "my_part": TextBackbone("b")}), "small letters and digits"),
        (dict(parts={"source": TextBackbone("a"), "target": "b"}), "target is 'b'; allowed: TextBackbone"),
        (dict(parts=TEXTS, fusion="sum"), "allowed: concat, weighted"),
        (dict(parts=TEXTS, alpha=0.3), "fusion 'concat' has no use for"),
        (dict(parts=TEXTS, width=8), "backbone.width is 8, which fusion 'concat' has no use for"),
        (dict(parts=TEXTS, fusion="weighted", alpha=1.5), "allowed: 0 to 1, the weight of 'source', or none"),
        (dict(parts=TEXTS, fusion="weighted", width=0), "at least 1"),
    ],
)
def test_a_wrong_field_is_told_in_one_line(settings, words):
    with pytest.raises(UserError) as caught:
        FusedBackbone(**settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_kind_of_rows_follows_from_the_parts():
    one, other = TextBackbone("a"), ImageBackbone("b")
    kinds = [FusedBackbone({"a": x, "b": y}).modality for x, y in ((one, one), (other, other), (one, other))]
    assert kinds == ["text", "image", "text_image"]
    with pytest.raises(UserError, match="FusedBackbone reads rows with a text and an image, but .* holds texts"):
        recipe(FusedBackbone({"a": one, "b": other}))
    recipe(FusedBackbone({"a": one, "b": other}), data=TextImageClassification("rows.csv"))


@pytest.mark.parametrize("head", [NativeHead(), LSTMHead(4, 1)])
def test_a_head_reads_one_vector_per_row(head):
    with pytest.raises(UserError, match="allowed: heads on pooled features, LinearHead or MLPHead"):
        recipe(head=head)


def test_an_objective_that_needs_one_network_is_refused():
    with pytest.raises(UserError, match="DELTA reads the feature maps of one network.*allowed: Supervised, L2SP, BSS"):
        recipe(objective=Supervised() + 0.1 * DELTA())
    recipe(objective=Supervised() + 0.1 * L2SP() + BSS())


def test_a_recipe_goes_through_json_and_its_parts_have_flags_and_help():
    weighted = recipe(FusedBackbone({**TEXTS, "target": TextBackbone("c/d", embeddings_only=True)}, "weighted", None))
    written = json.loads(json.dumps(recipe_to_dict(weighted)))
    assert recipe_from_dict(written) == weighted
    assert recipe_from_dict(written).backbone.parts["target"].embeddings_only
    flags = recipe_flags(weighted)
    assert flags["backbone.parts.source.checkpoint"].default == "a/b" and "backbone.parts" not in flags
    assert flags["backbone.alpha"].convert("none") is None and flags["backbone.alpha"].convert("0.25") == 0.25
    values = {"backbone.parts.source.checkpoint": "e/f", "backbone.alpha": 0.25, "head.dropout": 0.1}
    changed, _ = apply_overrides(weighted, values)
    assert changed.backbone.parts["source"].checkpoint == "e/f" and changed.backbone.alpha == 0.25
    assert changed.backbone.parts["target"] == weighted.backbone.parts["target"]
    assert list(changed.backbone.parts) == ["source", "target"]
    page = recipe_help(weighted, "x", "hf-transfer run", {})
    assert "backbone.parts.target: TextBackbone" in page and "--backbone.parts.target.max_length 128" in page


def test_parts_do_not_change():
    with pytest.raises(TypeError, match="does not change"):
        TWO.parts["source"] = TextBackbone("x")


# ---------------------------------------------------------------------------------------------------------------------
# The formula


def test_fusion_is_what_its_formula_says():
    torch.manual_seed(0)
    first, second = torch.randn(5, 4), torch.randn(5, 6)
    pooled = {"source": first, "target": second}
    assert torch.equal(Fusion("concat", {"source": 4, "target": 6})(pooled), torch.cat([first, second], 1))
    same = {"source": first, "target": second[:, :4]}
    for alpha in (0.0, 0.3, 1.0):
        mixed = Fusion("weighted", {"source": 4, "target": 4}, alpha)(same)
        torch.testing.assert_close(mixed, alpha * first + (1 - alpha) * second[:, :4])
    fusion = Fusion("weighted", {"source": 4, "target": 6}, None, 3)
    assert fusion.width == 3 and fusion.alpha.item() == 0.5
    fusion.logit.data.fill_(2.0)
    one, other = (fusion.projections[name] for name in ("source", "target"))
    share = 1 / (1 + np.exp(-2.0))
    expected = share * one(first) + (1 - share) * other(second)
    torch.testing.assert_close(fusion(pooled), expected)
    fusion(pooled).sum().backward()
    # d/dlogit = alpha (1 - alpha) sum(P_1 F_1 - P_2 F_2)
    slope = share * (1 - share) * (one(first) - other(second)).sum()
    torch.testing.assert_close(fusion.logit.grad, slope.detach())


@pytest.mark.parametrize("logit", [-40.0, 40.0])
def test_a_learned_alpha_stays_between_0_and_1(logit):
    fusion = Fusion("weighted", {"a": 2, "b": 2}, None)
    fusion.logit.data.fill_(logit)
    assert 0 <= fusion.alpha.item() <= 1


# ---------------------------------------------------------------------------------------------------------------------
# The model


def test_widths_are_projected_only_where_they_differ(nets):
    def projected(first, second, **settings):
        backbone = FusedBackbone({"a": text(first), "b": text(second)}, "weighted", **settings)
        model = build_model(backbone, LinearHead(), LABELS, backbone.processor())
        return model.fusion.width, len(model.fusion.projections)

    assert projected(nets["bert"], nets["bert"]) == (16, 0)
    assert projected(nets["bert"], nets["wide"]) == (16, 2)
    assert projected(nets["bert"], nets["bert"], width=5) == (5, 2)


def test_depths_count_blocks_from_the_top_in_both_parts(nets):
    backbone = FusedBackbone({"a": text(nets["bert"]), "b": text(nets["wide"])}, "weighted", None)
    model = build_model(backbone, MLPHead((4,)), LABELS, backbone.processor())
    depths = backbone.depths(model)
    assert set(depths) == {name for name, _ in model.named_parameters()}
    layers = {name: depth for name, depth in depths.items() if ".layer." in name and name.endswith("query.weight")}
    assert sorted(layers.values()) == [1, 2, 2, 3, 3]
    assert {depths[name] for name in depths if "embeddings" in name} == {0}
    assert {depths[name] for name in depths if name.startswith(("head.", "fusion."))} == {4}


def test_an_error_of_a_part_names_that_part(nets):
    backbone = FusedBackbone({"a": text(nets["bert"]), "b": text(nets["wide"], layer=9)})
    with pytest.raises(UserError, match="backbone.parts.b.layer is 9"):
        backbone.load_config()


PAIRS = {
    "two encoders": lambda n: {"source": text(n["bert"]), "target": text(n["wide"], pooling="mean")},
    "learned pooling": lambda n: {"source": text(n["bert"], pooling="attention"), "target": text(n["wide"])},
    "two nets": lambda n: {"source": image(n["cnn"]), "target": image(n["vit"], image_size=160)},
    "text and image": lambda n: {"words": text(n["bert"]), "picture": image(n["cnn"])},
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("settings", [dict(), dict(fusion="weighted", alpha=None)], ids=["concat", "weighted"])
def test_the_head_on_recordings_gives_the_logits_of_the_whole(pair, settings, nets, both):
    backbone = FusedBackbone(PAIRS[pair](nets), **settings)
    torch.manual_seed(0)
    splits = load_data(TextImageClassification(str(both)), progress=False)
    processors = backbone.processor()
    model = build_model(backbone, MLPHead((4,)), LABELS, processors).eval()
    replay = replay_of(model).eval()
    encoded = {"validation": encode(backbone, processors, splits.validation)}
    dtypes = dict.fromkeys(backbone.parts, torch.float32)
    done = record_parts(model, replay, backbone, processors, encoded, splits.contents, dtypes, PartialState(), False)
    rows = encoded["validation"]
    batch = collator(backbone, processors)([rows[number] for number in range(len(rows))])
    labels = batch.pop("labels")
    recorded = done.splits["validation"].__getitems__(list(range(len(rows))))
    with torch.no_grad():
        whole = model(**batch).logits
        torch.testing.assert_close(replay(**recorded).logits, whole, atol=1e-5, rtol=1e-4)
    assert torch.equal(recorded["labels"], labels) and whole.std() > 0
    assert done.computed >= 2 * len(rows)  # a first batch of each part is computed to learn the shapes


def test_each_part_shares_its_recording_with_a_run_of_it_alone(nets, both):
    """The fused run finds what the encoder alone recorded, and the net alone what the fused run did."""
    splits = load_data(TextImageClassification(str(both)), progress=False)
    parts = {"words": text(nets["bert"], pooling="mean"), "picture": image(nets["cnn"])}
    fused, state = FusedBackbone(parts), PartialState()

    def alone(part, head):
        rows = splits.test.select_columns(["text" if part.modality == "text" else "image", "label"])
        processor = part.processor()
        model = build_model(part, head, LABELS, processor).eval()
        rows = {"test": encode(part, processor, rows)}
        return record_splits(
            model, replay_of(model), part, processor, rows, splits.contents, torch.float32, state
        ).computed

    def together():
        processors = fused.processor()
        model = build_model(fused, LinearHead(), LABELS, processors).eval()
        rows = {"test": encode(fused, processors, splits.test)}
        dtypes = dict.fromkeys(parts, torch.float32)
        done = record_parts(model, replay_of(model), fused, processors, rows, splits.contents, dtypes, state, False)
        return {name: one.computed for name, one in done.parts.items()}

    assert alone(parts["words"], MLPHead((4,))) > 0
    first = together()
    assert first["words"] == 0 and first["picture"] > 0
    assert alone(parts["picture"], LinearHead()) == 0  # a stock timm model, whose pooled features are the same
    assert together() == {"words": 0, "picture": 0}


def test_what_else_learns_keeps_the_head_from_lbfgs(nets):
    def fit(backbone, single=True, **head):
        return settle_fit(recipe(backbone, LinearHead(**head)), True, (), single)

    assert fit(TWO) == fit(FusedBackbone(TEXTS, "weighted", 0.3)) == "lbfgs"
    assert fit(FusedBackbone(TEXTS, "weighted", None)) == "sgd"
    assert fit(FusedBackbone(TEXTS, "weighted"), single=False) == "sgd"
    assert fit(FusedBackbone({**TEXTS, "target": TextBackbone("c/d", pooling="attention")})) == "sgd"
    with pytest.raises(UserError, match="head.fit is 'lbfgs', but backbone.alpha is none"):
        fit(FusedBackbone(TEXTS, "weighted", None), fit="lbfgs")


def test_a_part_is_moved_by_what_moves_its_kind(nets):
    """Nothing but the names of parameters is known to a strategy: full fine-tuning reaches both parts."""
    backbone = FusedBackbone(PAIRS["text and image"](nets))
    model = build_model(backbone, LinearHead(), LABELS, backbone.processor())
    depths = backbone.depths(model)
    frozen = FrozenFeatures().prepare(model, depths)
    assert {n for n, p in frozen.named_parameters() if p.requires_grad} == {"head.out.weight", "head.out.bias"}
    assert all(p.requires_grad for p in FullFineTune().prepare(model, depths).parameters())
    assert replace(backbone, fusion="weighted").modality == "text_image"


# ---------------------------------------------------------------------------------------------------------------------
# Rows with a text and an image


def test_rows_are_the_same_only_where_both_columns_are(tmp_path, both):
    rows = both.read_text().splitlines()
    first, second = rows[1].split(","), rows[3].split(",")
    again = [rows[1], ",".join([first[0], *second[1:]]), ",".join([second[0], *first[1:]])]
    (both.parent / "test.csv").write_text("\n".join([rows[0], *again, *rows[-2:]]) + "\n")
    spec = TextImageClassification(str(both), validation=0.2, test=str(both.parent / "test.csv"))
    splits = load_data(spec, progress=False)
    # Of five test rows three stand in train as they are: the other two have a known text and a known picture each.
    assert splits.dropped["leaked"] + splits.dropped["leaked_validation"] == 3
    assert any("have an image that train has too, beside another text" in note for note in splits.notes)


def test_what_is_wrong_in_either_column_is_told(tmp_path):
    path = write_text_images(tmp_path / "rows", 40)
    lines = path.read_text().splitlines()
    lines[1] = ",".join(["", *lines[1].split(",")[1:]])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="'text' is empty in row 1 .*drop_empty"):
        load_data(TextImageClassification(str(path)), progress=False)
    (path.parent / "photos/good/000.png").write_bytes(b"no picture")
    spec = TextImageClassification(str(path), drop_empty=True, drop_broken=True)
    dropped = load_data(spec, progress=False).dropped
    assert (dropped["empty"], dropped["broken"]) == (1, 1)
    with pytest.raises(UserError, match="is a folder; text comes from a file"):
        load_data(TextImageClassification(str(tmp_path)), progress=False)
    assert ImageClassification("x") != spec
