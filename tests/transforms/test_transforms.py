"""Model transforms: the identities of StochNorm, what ReinitTop draws anew, what FreezeBatchNorm holds."""

import copy

import pytest
import torch
from mini import mini_image_checkpoint, mini_text_checkpoint
from torch import nn

from hf_transfer import (
    BitFit,
    FreezeBatchNorm,
    FullFineTune,
    ImageBackbone,
    LinearHead,
    LoRA,
    NativeHead,
    PartialFineTune,
    ReinitTop,
    StochNorm,
    TextBackbone,
    UserError,
)
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels
from hf_transfer.transforms.batch_norm import Stochastic, batch_norms, change, change_back

LABELS = Labels("single_label_classification", ("bad", "good"), None)


def build(folder, architecture: str, head=None):
    """A mini model, its depths, and a batch."""
    torch.manual_seed(0)
    if architecture.startswith("test_"):
        size = 160 if "vit" in architecture else 64
        backbone = ImageBackbone(str(mini_image_checkpoint(folder, architecture)), image_size=size)
        model = build_model(backbone, head or LinearHead(), LABELS, backbone.processor())
        return model, backbone.depths(model), {"pixel_values": torch.randn(6, 3, size, size)}
    backbone = TextBackbone(str(mini_text_checkpoint(folder, architecture)), max_length=32)
    model = build_model(backbone, head or NativeHead(), LABELS, backbone.processor())
    return model, backbone.depths(model), {"input_ids": torch.randint(5, 20, (6, 9))}


@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 7), (8, 5, 6, 7)], ids=["1d", "1d maps", "2d"])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_at_its_ends_stoch_norm_is_batch_norm(p, shape):
    torch.manual_seed(0)
    plain = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(5)
    with torch.no_grad():
        for tensor in (plain.weight, plain.bias, plain.running_mean):
            tensor.normal_()
        plain.running_var.uniform_(0.5, 2)
    model = nn.Sequential(copy.deepcopy(plain))
    (stochastic,) = change(model, Stochastic)
    stochastic.p = p
    plain.train(p == 1.0)
    x = torch.randn(shape) * 3 + 1
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [module(one) for module, one in zip((plain, model), inputs, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0], atol=0, rtol=0)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, atol=0, rtol=0)
    torch.testing.assert_close(stochastic.weight.grad, plain.weight.grad, atol=0, rtol=0)
    # The statistics move whatever is chosen.
    moved = copy.deepcopy(plain).train()
    if p == 0.0:
        moved(x)
    torch.testing.assert_close(stochastic.running_mean, moved.running_mean, atol=0, rtol=0)
    torch.testing.assert_close(stochastic.running_var, moved.running_var, atol=0, rtol=0)
    assert stochastic.num_batches_tracked == moved.num_batches_tracked == 1


def test_each_channel_is_normalised_by_one_or_the_other():
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(400)
    model = nn.Sequential(copy.deepcopy(plain))
    change(model, Stochastic)[0].p = 0.25
    x = torch.randn(4, 400, 3, 3) * 2 + 1
    seen, running, batch = model(x), plain.eval()(x), plain.train()(x)
    by_batch = torch.tensor([torch.equal(seen[:, c], batch[:, c]) for c in range(400)])
    by_running = torch.tensor([torch.equal(seen[:, c], running[:, c]) for c in range(400)])
    assert (by_batch ^ by_running).all()
    assert 0.17 < by_batch.float().mean() < 0.33
    assert not torch.equal(model(x), seen)  # drawn anew


def test_every_batch_norm_gets_the_probability_that_was_asked_for():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm2d(3)))
    StochNorm(p=0.25).apply(model, {})
    assert [module.p for module in batch_norms(model).values()] == [0.25, 0.25]


def test_a_running_mean_without_momentum_is_that_of_all_batches():
    plain = nn.BatchNorm1d(3, momentum=None)
    model = nn.Sequential(copy.deepcopy(plain))
    change(model, Stochastic)[0].p = 0.0
    for _ in range(3):
        x = torch.randn(8, 3) + 1
        plain(x), model(x)
    torch.testing.assert_close(model[0].running_mean, plain.running_mean, atol=0, rtol=0)
    torch.testing.assert_close(model[0].running_var, plain.running_var, atol=0, rtol=0)


def test_a_batch_norm_without_running_statistics_is_left_alone():
    model = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False))
    assert change(model, Stochastic) == [] and type(model[0]) is nn.BatchNorm1d


def test_what_timm_hangs_behind_a_batch_norm_acts_as_ever():
    from timm.layers import BatchNormAct2d

    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    model = nn.Sequential(BatchNormAct2d(5, drop_layer=Twice))
    x = torch.randn(4, 5, 3, 3)
    expected = copy.deepcopy(model)(x)  # normalised, twice of it, then the activation
    change(model, Stochastic)[0].p = 1.0
    torch.testing.assert_close(model(x), expected, atol=0, rtol=0)
    assert expected.min() == 0


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet"])
def test_a_net_is_plain_again_behind_the_training(architecture, tmp_path):
    model, depths, batch = build(tmp_path / "net", architecture)
    kinds = {name: type(module) for name, module in model.named_modules()}
    names, whole = list(model.state_dict()), copy.deepcopy(model).train()
    strategy = FullFineTune(transforms=(StochNorm(p=1.0),))
    strategy.check_model(model, depths)
    changed = strategy.prepare(model, depths)
    assert all(isinstance(module, Stochastic) for module in batch_norms(changed).values())
    assert list(changed.state_dict()) == names and strategy.trainable(model, depths) == sum(
        parameter.numel() for parameter in model.parameters()
    )
    torch.manual_seed(1)
    logits = changed.train()(**batch).logits
    torch.manual_seed(1)
    torch.testing.assert_close(logits, whole(**batch).logits, atol=1e-6, rtol=1e-6)  # its activations act too
    trained = changed.eval()(**batch).logits
    plain = strategy.finish(changed)
    torch.testing.assert_close(plain.eval()(**batch).logits, trained, atol=0, rtol=0)
    assert {name: type(module) for name, module in plain.named_modules()} == kinds


@pytest.mark.parametrize("affine", [False, True])
def test_frozen_statistics_stand_still_and_training_reads_them(affine, tmp_path):
    model, depths, batch = build(tmp_path / "net", "test_resnet")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    strategy = FullFineTune(transforms=(FreezeBatchNorm(affine=affine),))
    model = strategy.prepare(model, depths)
    assert not any(module.training for module in batch_norms(model).values())
    norms = {f"{name}.{part}" for name, m in batch_norms(model).items() for part, _ in m.named_parameters()}
    still = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert norms and still == (norms if affine else set())
    assert strategy.trainable(model, depths) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    for mode in (True, False, True):
        model.train(mode)
        assert not any(module.training for module in batch_norms(model).values())
    model(**batch).logits.sum().backward()
    plain = strategy.finish(model.train())
    assert all(module.training for module in batch_norms(plain).values())
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, before[name]), name


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("distilbert", "roberta")]


@pytest.mark.parametrize("architecture", ["bert", "test_resnet", "test_vit", *SLOW])
def test_the_top_block_is_drawn_anew_and_nothing_else(architecture, tmp_path):
    model, depths, _ = build(tmp_path / "net", architecture)
    with torch.no_grad():
        for tensor in (*model.parameters(), *(one for one in model.buffers() if one.is_floating_point())):
            tensor.add_(0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    drawn_next = torch.random.get_rng_state()
    ReinitTop(k=1).apply(model, depths)
    assert torch.equal(torch.random.get_rng_state(), drawn_next)  # what follows does not depend on it
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changed = {name for name in depths if not torch.equal(first[name], before[name])}
    top, sizes = max(depths.values()), {name: p.ndim for name, p in model.named_parameters()}
    assert changed == {name for name in depths if depths[name] == top - 1}
    assert any(sizes[name] > 1 and 0 < first[name].std() < 0.6 for name in changed)
    statistics = {name for name, _ in model.named_buffers() if name.endswith("running_mean")}
    renewed = {name for name in statistics if not torch.equal(first[name], before[name])}
    assert renewed == {name for name in statistics if depths[name.replace("running_mean", "weight")] == top - 1}
    torch.rand(5)
    ReinitTop(k=1).apply(model, depths)  # the seed decides, not what was drawn in between
    assert all(torch.equal(tensor, first[name]) for name, tensor in model.state_dict().items())
    torch.manual_seed(4)
    ReinitTop(k=1).apply(model, depths)
    assert not all(torch.equal(tensor, first[name]) for name, tensor in model.state_dict().items())


def test_fresh_weights_are_those_of_the_architecture(tmp_path):
    folder = mini_text_checkpoint(tmp_path / "wide", hidden_size=64, intermediate_size=128, initializer_range=0.3)
    backbone = TextBackbone(str(folder), max_length=32)
    model = build_model(backbone, NativeHead(), LABELS, backbone.processor())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    ReinitTop(k=1).apply(model, backbone.depths(model))
    layer = model.bert.encoder.layer[1]
    assert layer.output.dense.weight.std().item() == pytest.approx(0.3, rel=0.1)
    assert (layer.output.dense.bias == 0).all() and (layer.output.LayerNorm.weight == 1).all()
    assert model.bert.pooler.dense.weight.std().item() == pytest.approx(0.3, rel=0.1)
    assert (model.bert.encoder.layer[0].output.dense.weight == 7).all() and (model.classifier.weight == 7).all()


@pytest.mark.parametrize(
    ("architecture", "strategy", "words"),
    [
        ("bert", FullFineTune(transforms=(StochNorm(),)), "StochNorm needs BatchNorm, and bert has none"),
        ("test_vit", FullFineTune(transforms=(FreezeBatchNorm(),)), "FreezeBatchNorm needs BatchNorm, and test_vit"),
        ("test_resnet", LoRA(transforms=(StochNorm(),)), "StochNorm acts on BatchNorm that trains, and strategy LoRA"),
        ("bert", FullFineTune(transforms=(ReinitTop(k=3),)), "ReinitTop.k is 3; this backbone has 2 blocks"),
        ("bert", PartialFineTune(top=1, transforms=(ReinitTop(k=2),)), "strategy PartialFineTune would leave it so"),
        ("bert", BitFit(transforms=(ReinitTop(),)), "strategy BitFit would leave it so"),
    ],
)
def test_what_a_model_cannot_have_is_refused(architecture, strategy, words, tmp_path):
    model, depths, _ = build(tmp_path / "net", architecture)
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        strategy.check_model(model, depths)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ReinitTop(k=0), "ReinitTop.k is 0"),
        (lambda: StochNorm(p=1.5), "StochNorm.p is 1.5"),
        (lambda: FreezeBatchNorm(affine="no"), "FreezeBatchNorm.affine"),
        (lambda: FullFineTune(transforms=(StochNorm,)), "strategy.transforms holds"),
        (lambda: FullFineTune(transforms=ReinitTop()), "allowed: a tuple"),
        (lambda: FullFineTune(transforms=(ReinitTop(), ReinitTop(k=2))), "each of them once"),
        (lambda: FullFineTune(transforms=(StochNorm(), FreezeBatchNorm())), "take one of them"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_the_class_comes_back_whatever_the_mode():
    model = nn.Sequential(nn.BatchNorm1d(3)).eval()
    change(model, Stochastic)[0].p = 0.5
    change_back(model, Stochastic)
    assert type(model[0]) is nn.BatchNorm1d and not model[0].training and "p" not in vars(model[0])
