"""Low-rank updates: nothing at the start, only they and the head in training, a plain model at the end."""

import pytest
import torch
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint

from hf_transfer import ImageBackbone, LinearHead, LoRA, NativeHead, TextBackbone, UserError
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels

pytest.importorskip("peft", reason="pip install 'hf-transfer-recipes[lora]'")
LABELS = Labels("single_label_classification", ("bad", "good"), None)
TEXT, IMAGE = ("bert", "distilbert", "roberta"), ("test_resnet", "test_vit")


def build(folder, architecture: str, head=None):
    """A mini model in evaluation mode, its backbone's spec, and a batch for it."""
    torch.manual_seed(0)
    if architecture in IMAGE:
        size = 160 if "vit" in architecture else 32
        backbone = ImageBackbone(str(mini_image_checkpoint(folder, architecture)), image_size=size)
        model = build_model(backbone, head or LinearHead(), LABELS, backbone.processor())
        return model.eval(), backbone, {"pixel_values": torch.randn(3, 3, size, size)}
    backbone = TextBackbone(str(mini_text_checkpoint(folder, architecture)), max_length=32)
    tokenizer = backbone.processor()
    model = build_model(backbone, head or NativeHead(), LABELS, tokenizer)
    texts = [text for text, _ in make_texts(3)]
    return model.eval(), backbone, dict(tokenizer(texts, padding=True, return_tensors="pt"))


@pytest.mark.parametrize("architecture", TEXT + IMAGE)
def test_from_nothing_to_a_plain_model(architecture, tmp_path):
    model, backbone, batch = build(tmp_path / "net", architecture)
    names = list(model.state_dict())
    before = model(**batch).logits
    strategy, depths = LoRA(rank=2, alpha=4.0), backbone.depths(model)
    promised = strategy.trainable(model, depths)
    adapted = strategy.prepare(model, depths)
    assert type(adapted) is type(model)
    torch.testing.assert_close(adapted(**batch).logits, before, atol=0, rtol=0)  # the updates start at zero

    depths, top = backbone.depths(adapted), max(depths.values())
    moving = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert {name for name in moving if "lora_" not in name} == {name for name in depths if depths[name] == top}
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == promised
    updates = [name for name in moving if "lora_" in name]
    assert updates and all(0 < depths[name] < top for name in updates)

    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    trained = adapted(**batch).logits
    change = (trained - before).abs().max()
    assert change > 0.01 * before.abs().max()
    plain = strategy.finish(adapted)
    assert (plain(**batch).logits - trained).abs().max() < 0.01 * change
    assert list(plain.state_dict()) == names


def test_named_layers_alone(tmp_path):
    model, backbone, _ = build(tmp_path / "net", "bert", LinearHead())
    strategy = LoRA(rank=2, targets=("query", "value"))
    adapted = strategy.prepare(model, backbone.depths(model))
    owners = {name.split(".lora_")[0].rpartition(".")[2] for name, _ in adapted.named_parameters() if "lora_" in name}
    assert owners == {"query", "value"}
    model, backbone, _ = build(tmp_path / "other", "bert")
    with pytest.raises(UserError, match="strategy.targets names 'qkv'; this backbone has dense, key, query, value"):
        LoRA(targets=("qkv",)).prepare(model, backbone.depths(model))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(rank=0), "strategy.rank is 0; it must be at least 1"),
        (dict(alpha=0), "strategy.alpha is 0; allowed: a number above 0"),
        (dict(dropout=1.0), "strategy.dropout is 1.0"),
    ],
)
def test_what_cannot_be_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        LoRA(**settings)
