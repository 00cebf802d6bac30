"""From a frozen backbone to recorded features: which bytes, named by what, shared by whom, and how close bf16 is."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import PartialState
from datasets import Dataset
from mini import make_texts, mini_image_checkpoint
from PIL import Image

from hf_transfer import ImageBackbone, ImageClassification, LinearHead, LSTMHead, MLPHead, NativeHead, TextBackbone
from hf_transfer.assembly import build_model
from hf_transfer.batching import TOKENS, by_length, by_pixels
from hf_transfer.data import Labels, load_data
from hf_transfer.demo import demo_recipe
from hf_transfer.features import cache
from hf_transfer.features.dataset import collate_features
from hf_transfer.features.folding import fold_batch_norms
from hf_transfer.features.splits import record_splits
from hf_transfer.inputs import collator, encode
from hf_transfer.linear.fit import fit_linear
from hf_transfer.precision import device_kind
from hf_transfer.recipe_files import load_recipe
from hf_transfer.replay import replay_of

LABELS = Labels("single_label_classification", ("bad", "good"), None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "cache"))


def texts(count=40, seed=0, labels=None) -> Dataset:
    rows = make_texts(count, seed)
    named = [LABELS.names.index(label) for _, label in rows]
    return Dataset.from_dict({"text": [text for text, _ in rows], "label": labels or named})


def recorded(backbone, head, rows, dtype=torch.float32, **checked):
    """Return the recorded rows, how many were computed, the model and its replay."""
    processor = backbone.processor()
    torch.manual_seed(0)
    model = build_model(backbone, head, LABELS, processor).eval()
    replay = replay_of(model).eval()
    encoded = {"train": encode(backbone, processor, rows)}
    contents, state = {"train": "photos"}, PartialState()
    done = record_splits(model, replay, backbone, processor, encoded, contents, dtype, state, **checked)
    return done.splits["train"], done.computed, model, replay


# ---------------------------------------------------------------------------------------------------------------------
# Batches


def test_batches_hold_every_row_once_and_waste_nothing():
    draw = np.random.default_rng(0)
    lengths = [*draw.integers(3, 60, 5000).tolist(), 9000, 100]
    batches = by_length(lengths)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = max(lengths[row] for row in batch) * len(batch)
        assert padded <= TOKENS["cpu"] or len(batch) == 1
        assert len({lengths[row] for row in batch}) == 1 or padded < TOKENS["cpu"] / 4
    assert sum(max(lengths[r] for r in b) * len(b) for b in batches) < 1.01 * sum(lengths)
    assert by_length([]) == [] and by_length([5]) == [[0]]


def test_image_batches_are_filled_by_pixels():
    assert [len(batch) for batch in by_pixels(11, 224 * 224)] == [3, 3, 3, 2]
    assert by_pixels(2, 10**9) == [[0], [1]]  # one picture larger than the budget is still a batch


# ---------------------------------------------------------------------------------------------------------------------
# Which bytes


@pytest.mark.parametrize("head", [NativeHead(), LinearHead(), LSTMHead(4, 1)], ids=lambda head: type(head).__name__)
def test_recorded_texts_give_the_models_own_logits(head, mini_text):
    rows, computed, model, replay = recorded(TextBackbone(str(mini_text), max_length=32), head, texts())
    backbone = TextBackbone(str(mini_text), max_length=32)
    tokenizer = backbone.processor()
    encoded = encode(backbone, tokenizer, texts())
    batch = collator(backbone, tokenizer)([encoded[row] for row in range(40)])
    labels = batch.pop("labels")
    kept = collate_features(rows.__getitems__(list(range(40))))
    assert torch.equal(kept.pop("labels"), labels) and computed >= 40
    with torch.no_grad():
        torch.testing.assert_close(replay(**kept).logits, model(**batch).logits, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("head", [LinearHead(), MLPHead((4,)), LSTMHead(4, 1)], ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "test_vit"])
def test_recorded_images_give_the_models_own_logits(architecture, head, tmp_path, photos):
    backbone = ImageBackbone(str(mini_image_checkpoint(tmp_path / "net", architecture)), image_size=160)
    splits = load_data(ImageClassification(str(photos)), progress=False)
    rows, _, model, replay = recorded(replace(backbone, augmentation="none"), head, splits.train)
    pixels = backbone.preprocess({"image": splits.train.with_format(None)["image"][:]}, backbone.processor())
    with torch.no_grad():
        found = replay(**collate_features(rows.__getitems__(list(range(len(rows)))))).logits
        torch.testing.assert_close(found, model(**pixels).logits, atol=1e-5, rtol=1e-4)


def test_folding_removes_batch_norms_and_changes_nothing():
    import timm

    torch.manual_seed(0)
    net = timm.create_model("resnet18", num_classes=3).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training: none of them is the identity
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = net(pixels)
        fold_batch_norms(net)
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
        torch.testing.assert_close(net(pixels), expected, atol=1e-4, rtol=1e-4)


def test_a_net_whose_names_mislead_is_not_folded():
    from hf_transfer.features.folding import folded

    class Net(torch.nn.Module):
        """The normalisation is named after the convolution and comes before it."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)
            self.norm.running_mean.fill_(2.0)

        def forward(self, pixel_values):
            return self.conv(self.norm(pixel_values))

    net = Net().eval().requires_grad_(False)
    assert folded(net, {"pixel_values": torch.randn(2, 3, 4, 4)}, lambda m, b: {"pooled": m(**b)}) is net


@pytest.mark.parametrize("in_chans", [1, 3, 4])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_kept_bytes_give_the_very_numbers_of_the_whole_transform(in_chans, mode, mini_image):
    draw = np.random.default_rng(0)
    picture = Image.fromarray(draw.integers(0, 255, (50, 70, 3), dtype=np.uint8)).convert(mode)
    backbone = ImageBackbone(str(mini_image), image_size=32, in_chans=in_chans)
    processor = backbone.processor()
    assert backbone.keeps_bytes(processor)
    pixels = torch.from_numpy(backbone.resize(picture, processor))[None]
    assert pixels.dtype == torch.uint8 and pixels.shape == (1, 32, 32, in_chans)
    whole = backbone.preprocess({"image": [picture]}, processor)["pixel_values"]
    assert torch.equal(backbone.normalise(pixels, processor), whole)


# ---------------------------------------------------------------------------------------------------------------------
# Named by what, shared by whom


def test_another_head_of_the_same_kind_computes_nothing(mini_text):
    backbone = TextBackbone(str(mini_text), max_length=32, pooling="mean")
    assert recorded(backbone, LSTMHead(4, 1), texts())[1] >= 40
    assert recorded(backbone, LSTMHead(8, 2), texts())[1] == 0
    assert recorded(backbone, LinearHead(), texts())[1] == 0  # pooled vectors follow from token states
    assert recorded(replace(backbone, pooling="max"), MLPHead((4,)), texts())[1] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_pooled_from_recorded_tokens_are_the_same_bits(dtype, pooling, mini_text, monkeypatch, tmp_path):
    backbone = TextBackbone(str(mini_text), max_length=32, pooling=pooling)
    direct = recorded(backbone, LinearHead(), texts(), dtype)[0].arrays["pooled"]
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "other"))
    recorded(backbone, LSTMHead(4, 1), texts(), dtype)
    derived, computed, _, _ = recorded(backbone, LinearHead(), texts(), dtype)
    assert computed == 0 and np.array_equal(derived.arrays["pooled"], direct)


def test_the_key_is_of_weights_and_rows_not_of_names_and_labels(mini_text, tmp_path):
    backbone = TextBackbone(str(mini_text), max_length=32)
    head = LSTMHead(4, 1)
    recorded(backbone, head, texts())
    moved = tmp_path / "moved"
    shutil.copytree(mini_text, moved)
    assert recorded(replace(backbone, checkpoint=str(moved)), head, texts())[1] == 0
    assert recorded(backbone, head, texts(labels=[0, 1, 1, 0] * 10))[1] == 0
    assert recorded(backbone, head, texts(seed=1))[1] > 0
    assert recorded(backbone, head, texts(), torch.bfloat16)[1] > 0
    assert recorded(replace(backbone, layer=1), head, texts())[1] > 0
    assert recorded(replace(backbone, max_length=4), head, texts())[1] > 0
    assert recorded(replace(backbone, add_tokens=("lovely-film",)), head, texts())[1] > 0
    from transformers import AutoModel

    net = AutoModel.from_pretrained(moved)
    net.encoder.layer[1].output.dense.bias.data[0] += 1e-3
    net.save_pretrained(moved)
    assert recorded(replace(backbone, checkpoint=str(moved)), head, texts())[1] > 0


def test_labels_are_not_part_of_a_recording(mini_text):
    backbone, other = TextBackbone(str(mini_text), max_length=32), [1, 0] * 20
    recorded(backbone, LinearHead(), texts())
    assert recorded(backbone, LinearHead(), texts(labels=other))[0].labels.tolist() == other


def test_a_second_net_of_the_same_size_opens_no_image(tmp_path, photos, monkeypatch):
    net = mini_image_checkpoint(tmp_path / "a", "test_convnext")
    backbone = ImageBackbone(str(net), image_size=160, augmentation="none")
    other = replace(backbone, checkpoint=str(mini_image_checkpoint(tmp_path / "b", "test_vit")))
    splits = load_data(ImageClassification(str(photos)), progress=False)
    recorded(backbone, LinearHead(), splits.train)
    monkeypatch.setattr(ImageBackbone, "resize", None)
    done, computed, _, _ = recorded(other, LinearHead(), splits.train)
    assert computed > 0 and {tuple(e.about["keeps"]) for e in cache.entries()} == {("pixels",), ("pooled",)}
    with pytest.raises(TypeError):  # another size is other bytes
        recorded(replace(other, image_size=32), LinearHead(), splits.train)


# ---------------------------------------------------------------------------------------------------------------------
# bf16


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def embedded(name: str, count: int, dtypes, checked: bool):
    """Record some rows of the embedded data with its own checkpoint; return features and accuracy by dtype."""
    recipe = demo_recipe(load_recipe(name))
    splits = load_data(recipe.data, progress=False)
    backbone, processor = recipe.backbone, recipe.backbone.processor()
    model = build_model(backbone, recipe.head, splits.labels, processor)
    replay, state = replay_of(model), PartialState()
    rows = {"train": splits.train.shuffle(seed=0).select(range(count)), "test": splits.test.select(range(count // 2))}
    encoded, contents = {}, {}
    for part, split in rows.items():
        encoded[part], contents[part] = encode(backbone, processor, split), part
    results = {}
    for dtype in dtypes:
        done = record_splits(model, replay, backbone, processor, encoded, contents, dtype, state, checked)
        train, test = done.splits["train"], done.splits["test"]
        objective = recipe.objective.build(splits.labels.problem_type)
        vectors = test.arrays["pooled"]
        fit_linear(replay.linear, train.arrays["pooled"], train.labels, vectors, test.labels, objective, l2=1e-2)
        with torch.no_grad():
            guessed = replay.linear(torch.from_numpy(vectors)).argmax(1)
        results[dtype] = done, vectors, (guessed == test.labels).float().mean().item()
    return results


@pytest.mark.skipif(
    device_kind("cpu") == "cpu", reason="bfloat16 is never chosen on a CPU without instructions for it"
)
def test_bf16_features_of_texts_are_close_and_as_good():
    """On the embedded checkpoint: cosine at least 0.999 to float32, test accuracy within 0.3 points."""
    results = embedded("text/linear_probe", 1000, (torch.float32, torch.bfloat16), checked=True)
    (_, exact, accuracy), (done, close, as_good) = results.values()
    assert done.dtype == "bfloat16" and done.cosine >= 0.999
    assert cosine(exact, close).min() >= 0.999 and not np.array_equal(exact, close)
    assert as_good == pytest.approx(accuracy, abs=0.003)


def test_a_net_that_bf16_moves_too_far_stays_in_float32():
    """EfficientNet-Lite0 on digits: cosine 0.99 in bf16, so that the faster precision is not taken."""
    results = embedded("vision/linear_probe", 64, (torch.bfloat16, torch.float32), checked=True)
    (done, fallen_back, _), (_, exact, _) = results.values()
    assert done.dtype == "float32" and done.cosine < 0.999
    assert np.array_equal(fallen_back, exact)
    again = embedded("vision/linear_probe", 64, (torch.bfloat16,), checked=True)[torch.bfloat16][0]
    assert again.computed == 0 and again.cosine == done.cosine  # not even for the check


def test_bf16_that_was_asked_for_is_not_second_guessed(mini_text):
    backbone = TextBackbone(str(mini_text), max_length=32)
    assert recorded(backbone, LSTMHead(4, 1), texts(), torch.bfloat16)[0].dtypes == {"tokens": "bfloat16"}
