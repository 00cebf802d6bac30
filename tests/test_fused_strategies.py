"""Strategies and L2-SP on a fused model, encoder beside a net: each part is moved and held alone."""

import pytest
import torch
from mini import mini_image_checkpoint, mini_text_checkpoint

from hf_transfer import (
    L2SP,
    BitFit,
    FrozenFeatures,
    FusedBackbone,
    ImageBackbone,
    LinearHead,
    LoRA,
    Recipe,
    Stage,
    Supervised,
    TextBackbone,
    TextImageClassification,
    UserError,
)
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels
from hf_transfer.objectives.terms import Context, Seen

LABELS = Labels("single_label_classification", ("bad", "good"), None)
BATCH = {
    "words_input_ids": torch.tensor([[2, 9, 11, 7, 3], [2, 8, 10, 6, 3]]),
    "words_attention_mask": torch.ones(2, 5, dtype=torch.long),
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> FusedBackbone:
    folder = tmp_path_factory.mktemp("nets")
    parts = {
        "words": TextBackbone(mini_text_checkpoint(folder / "bert"), max_length=32),
        "image": ImageBackbone(mini_image_checkpoint(folder / "cnn"), image_size=32),
    }
    return FusedBackbone(parts, "weighted", None)


@pytest.fixture
def model(backbone):
    torch.manual_seed(0)
    return build_model(backbone, LinearHead(), LABELS, backbone.processor()).eval()


def logits(model) -> torch.Tensor:
    torch.manual_seed(1)
    return model(**BATCH, image_pixel_values=torch.randn(2, 3, 32, 32)).logits


def test_lora_finds_the_layers_of_each_part_by_itself(backbone, model):
    """The encoder's linear layers, and the convolutions of the net, which has no linear ones."""
    pytest.importorskip("peft", reason="pip install 'hf-transfer-recipes[lora]'")
    before, names, strategy = logits(model), list(model.state_dict()), LoRA(rank=2)
    promised = strategy.trainable(model, backbone.depths(model))
    adapted = strategy.prepare(model, backbone.depths(model))
    torch.testing.assert_close(logits(adapted), before, atol=0, rtol=0)
    updates = {name: one for name, one in adapted.named_parameters() if "lora_B" in name}
    assert {one.ndim for name, one in updates.items() if name.startswith("parts.words.")} == {2}
    assert {one.ndim for name, one in updates.items() if name.startswith("parts.image.")} == {4}
    assert sum(one.numel() for one in adapted.parameters() if one.requires_grad) == promised
    with torch.no_grad():
        for one in updates.values():
            one.normal_(std=0.1)
    trained = logits(adapted)
    assert (trained - before).abs().max() > 1e-3
    plain = strategy.finish(adapted)
    torch.testing.assert_close(logits(plain), trained, atol=1e-5, rtol=1e-4)
    assert list(plain.state_dict()) == names


@pytest.mark.parametrize("stages", [False, True])
def test_updates_are_not_saved_apart_from_a_fused_model(backbone, stages):
    strategy = LoRA(merge=False)
    data = TextImageClassification("rows.csv")
    with pytest.raises(UserError, match="a fused model is one of ours; set strategy.merge to true"):
        strategies = (Stage(FrozenFeatures()), Stage(strategy)) if stages else strategy
        Recipe("fused", data, backbone, LinearHead(), strategies)


def test_bitfit_moves_the_shifts_of_both_parts_and_what_is_new(backbone, model):
    BitFit().prepare(model, backbone.depths(model))
    moving = {name for name, one in model.named_parameters() if one.requires_grad}
    new = {name for name, _ in model.named_parameters() if not name.startswith("parts.")}
    assert new <= moving and {"fusion.logit", "head.out.weight"} <= new
    for part in ("words", "image"):
        own = {name for name, _ in model.named_parameters() if name.startswith(f"parts.{part}.")}
        assert own & moving == {name for name in own if name.endswith("bias")}, part
        assert own & moving


def test_l2_sp_pulls_each_part_to_where_it_started(backbone, model):
    """Against the closed form: alpha (w - w0) for what was pretrained, beta w for what is new; times the rows."""
    depths = backbone.depths(model)
    term = (Supervised() + L2SP(alpha=0.3, beta=0.2)).objectives[1].build(Context(model, depths, 2))
    moved = {}
    with torch.no_grad():
        for name, one in model.named_parameters():
            moved[name] = 0.01 * torch.randn_like(one)
            one.add_(moved[name])
    rows = torch.ones(4)
    term(Seen(model, {}, torch.zeros(4, 2), rows.long(), rows, None, 0.0)).backward()
    top = max(depths.values())
    assert {depths[name] == top for name in moved if name.startswith("parts.")} == {False}
    for name, one in model.named_parameters():
        pull = 0.2 * one.detach() if depths[name] == top else 0.3 * moved[name]
        torch.testing.assert_close(one.grad, 4 * pull, atol=1e-6, rtol=1e-4, msg=name)
