"""A recorded backbone and the real one give the same logits, so a head trained on the recording is exact."""

import pytest
import torch
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint

from hf_transfer import ImageBackbone, LinearHead, LSTMHead, MLPHead, NativeHead, TextBackbone
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels
from hf_transfer.replay import replay_of

LABELS = Labels("single_label_classification", ("bad", "good"), None)
ARCHITECTURES = ("bert", "roberta", "distilbert", "deberta-v2", "electra", "modernbert", "mpnet", "albert")


def replayed(model, batch):
    replay = replay_of(model).eval()
    recorded = replay.record(model, dict(batch))
    kept = {key: recorded[key] for key in replay.keeps}
    if "tokens" in kept:
        kept["mask"] = recorded["mask"]
    return replay(**kept).logits


@pytest.mark.parametrize("head", [NativeHead(), LinearHead(), LSTMHead(4, 1)], ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_text_is_exact(architecture, head, tmp_path):
    folder = mini_text_checkpoint(tmp_path / architecture, architecture)
    backbone = TextBackbone(str(folder), max_length=32, pooling="auto" if head == NativeHead() else "mean")
    tokenizer = backbone.processor()
    model = build_model(backbone, head, LABELS, tokenizer).eval()
    inputs = dict(tokenizer([text for text, _ in make_texts(5)], padding=True, return_tensors="pt"))
    if architecture in ("distilbert", "modernbert"):
        inputs.pop("token_type_ids", None)  # their own tokenizers make none
    with torch.no_grad():
        assert torch.equal(replayed(model, inputs), model(**inputs).logits)


@pytest.mark.parametrize("head", [NativeHead(), MLPHead((4,)), LSTMHead(4, 1)], ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_convnext"])
def test_images_are_exact(architecture, head, tmp_path):
    folder = mini_image_checkpoint(tmp_path / architecture, architecture)
    model = build_model(ImageBackbone(str(folder)), head, LABELS, None).eval()
    pixels = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        expected = model(pixel_values=pixels).logits
        torch.testing.assert_close(replayed(model, {"pixel_values": pixels}), expected, atol=1e-6, rtol=1e-5)


def test_replay_shares_the_heads_parameters(mini_text):
    backbone = TextBackbone(str(mini_text), max_length=32)
    for head in (NativeHead(), MLPHead((4,))):
        model = build_model(backbone, head, LABELS, backbone.processor())
        own = {id(parameter) for parameter in model.parameters()}
        shared = list(replay_of(model).parameters())
        assert shared and all(id(parameter) in own for parameter in shared)
        assert sum(p.numel() for p in shared) < 1000  # and none of the encoder's
