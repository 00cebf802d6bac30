"""Which dtype a run takes: from the committed table, by kind of device and model, never from a clock."""

import contextlib
import copy
import subprocess
import sys
from statistics import geometric_mean

import pytest
import torch
from mini import mini_image_checkpoint, mini_text_checkpoint

from hf_transfer import ImageBackbone, LinearHead, LSTMHead, MLPHead, NativeHead, TextBackbone, precision
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels
from hf_transfer.errors import UserError
from hf_transfer.precision import check_table, choose, device_kind, kind_of, read_table
from hf_transfer.replay import replay_of

LABELS = Labels("single_label_classification", ("bad", "good"), None)


def row(phase: str, kind: str, size: int, speedup: float) -> dict:
    rates = {"float32_per_s": 100.0, "bfloat16_per_s": 100.0 * speedup, "speedup": speedup}
    return {"device": "here", "phase": phase, "kind": kind, "size": size, **rates}


TABLE = {
    "devices": {"here": {"torch": "2.15.0"}},
    "rows": [
        row("features", "encoder", 128, 1.02),
        row("features", "encoder", 768, 2.94),
        row("train", "encoder", 768, 0.44),
        row("train", "lstm", 64, 1.1),
        row("train", "lstm", 256, 1.09),
    ],
}


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(precision, "read_table", lambda: check_table(TABLE))
    monkeypatch.setattr(precision, "device_kind", lambda device: "here" if device == "cpu" else "elsewhere")


# ---------------------------------------------------------------------------------------------------------------------
# The choice


@pytest.mark.parametrize(
    ("phase", "kind", "size", "dtype", "reason"),
    [
        ("features", "encoder", 768, "bfloat16", "2.9 times float32 here by the committed table"),
        ("train", "encoder", 768, "float32", "bfloat16 is 0.44 times float32 here by the committed table"),
        ("train", "encoder", 16, "float32", "bfloat16 is 0.44 times float32 here by the committed table"),
        ("train", "lstm", 64, "bfloat16", "1.1 times float32 here by the committed table"),
        ("train", "lstm", 256, "float32", "bfloat16 is 1.09 times float32 here by the committed table"),
        ("train", "cnn", 96, "float32", "no measurement of cnn training for here; --dtype bfloat16 tries it"),
        ("features", "lstm", 64, "float32", "no measurement of lstm extraction for here; --dtype bfloat16 tries it"),
    ],
)
def test_the_table_decides(table, phase, kind, size, dtype, reason):
    choice = choose(phase, kind, size, "cpu")
    assert (choice.dtype, choice.reason) == (dtype, reason)


@pytest.mark.parametrize(("size", "dtype"), [(64, "float32"), (300, "float32"), (330, "bfloat16"), (4096, "bfloat16")])
def test_the_nearest_size_is_nearest_by_ratio(table, size, dtype):
    # 128 and 768 meet at 314, their geometric mean; by difference they would meet at 448.
    assert choose("features", "encoder", size, "cpu").dtype == dtype


def test_a_device_that_nobody_measured_computes_in_float32(table):
    choice = choose("features", "encoder", 768, "cuda")
    assert choice.dtype == "float32"
    assert choice.reason == "no measurement for elsewhere; --dtype bfloat16 tries it"


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
@pytest.mark.parametrize("phase", ["features", "train"])
def test_what_is_asked_for_wins(table, asked, phase):
    assert choose(phase, "encoder", 768, "cpu", asked) == precision.Choice(asked, "asked for")


def test_an_unknown_word_is_an_error_that_names_the_allowed_ones(table):
    with pytest.raises(UserError, match="--dtype is 'bf16'; allowed: auto, float32, bfloat16"):
        choose("features", "encoder", 768, "cpu", "bf16")
    with pytest.raises(ValueError, match="phase is 'evaluate'; allowed: features, train"):
        choose("evaluate", "encoder", 768, "cpu")


def test_bfloat16_on_a_device_that_cannot_compute_it_is_an_error(table, monkeypatch):
    def refuse(*shape, dtype, device):
        raise TypeError("BFloat16 is not supported on MPS")

    monkeypatch.setattr(torch, "ones", refuse)
    with pytest.raises(UserError, match="mps cannot compute .BFloat16 is not supported on MPS.; use float32"):
        choose("features", "encoder", 768, "mps", "bfloat16")
    assert choose("features", "encoder", 768, "mps", "float32").dtype == "float32"


# ---------------------------------------------------------------------------------------------------------------------
# The device


@pytest.mark.parametrize(
    ("able", "kind"),
    [
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "cpu"),
        ({"avx512_bf16": True, "amx_bf16": False}, "cpu-avx512_bf16"),
        ({"avx512_bf16": True, "amx_bf16": True}, "cpu-amx"),
        ({"neon": True}, "cpu"),
    ],
)
def test_a_cpu_is_told_by_its_bfloat16_instructions(monkeypatch, able, kind):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert device_kind("cpu") == device_kind(torch.device("cpu")) == kind


@pytest.mark.parametrize(("native", "kind"), [(True, "cuda-bf16"), (False, "cuda")])
def test_emulated_bfloat16_is_not_native(monkeypatch, native, kind):
    asked = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext(asked.append(device)))
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native
    )
    assert device_kind("cuda:1") == kind
    assert asked == [torch.device("cuda:1")]  # not the current one


def test_other_devices_keep_their_name():
    assert device_kind("mps") == "mps"


# ---------------------------------------------------------------------------------------------------------------------
# The model


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "modernbert", "electra"])
@pytest.mark.parametrize("head", [NativeHead(), LinearHead(), LSTMHead(4, 1)], ids=lambda head: type(head).__name__)
def test_a_text_model_is_an_encoder_of_its_hidden_width(architecture, head, tmp_path):
    backbone = TextBackbone(str(mini_text_checkpoint(tmp_path / architecture, architecture)), max_length=32)
    assert kind_of(build_model(backbone, head, LABELS, backbone.processor())) == ("encoder", 16)


def test_input_embeddings_alone_are_no_encoder(tmp_path):
    folder = mini_text_checkpoint(tmp_path / "electra", "electra")  # embeddings of width 8 under states of width 16
    backbone = TextBackbone(str(folder), max_length=32, embeddings_only=True)
    assert kind_of(build_model(backbone, LSTMHead(4, 1), LABELS, backbone.processor())) == ("embeddings", 8)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("test_resnet", "cnn"), ("test_efficientnet", "cnn-depthwise"), ("test_convnext", "cnn-depthwise")]
    + [("test_vit", "vit")],
)
@pytest.mark.parametrize("head", [NativeHead(), LSTMHead(4, 1)], ids=lambda head: type(head).__name__)
def test_an_image_model_is_told_by_its_layers_and_its_side(architecture, kind, head, tmp_path):
    folder = mini_image_checkpoint(tmp_path / architecture, architecture)
    assert kind_of(build_model(ImageBackbone(str(folder)), head, LABELS, None)) == (kind, 160)


def test_the_side_is_that_of_the_recipe(mini_image):
    for head in (NativeHead(), LSTMHead(4, 1)):
        assert kind_of(build_model(ImageBackbone(str(mini_image), image_size=64), head, LABELS, None)) == ("cnn", 64)


def test_a_convolution_over_one_grey_channel_is_not_depthwise(mini_image):
    model = build_model(ImageBackbone(str(mini_image), in_chans=1), NativeHead(), LABELS, None)
    assert kind_of(model)[0] == "cnn"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("hiera_tiny_224", "vit"),  # calls its heads `heads`
        ("swin_tiny_patch4_window7_224", "vit"),
        ("mobilenetv4_hybrid_medium", "cnn-depthwise"),  # some attention, mostly convolutions
        ("resnet50_clip.openai", "cnn"),  # attention in its pooling alone
        ("vgg11", "cnn"),
    ],
)
def test_real_nets_are_told_by_their_layers(name, kind):
    import timm

    with torch.device("meta"):
        assert precision._kind_of_net(timm.create_model(name)) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (NativeHead(), ("pooled", 16)),
        (LinearHead(), ("pooled", 16)),
        (MLPHead((4,)), ("mlp", 16)),
        (LSTMHead(4, 1), ("lstm", 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_replay_of_texts_is_told_by_its_head(mini_text, head, kind):
    backbone = TextBackbone(str(mini_text), max_length=32)
    assert kind_of(replay_of(build_model(backbone, head, LABELS, backbone.processor()))) == kind


def test_the_score_of_attention_pooling_is_no_layer_of_the_head(mini_text):
    backbone = TextBackbone(str(mini_text), max_length=32, pooling="attention")
    assert kind_of(replay_of(build_model(backbone, LinearHead(), LABELS, backbone.processor()))) == ("pooled", 16)


def test_a_replay_of_images_is_told_by_its_head(mini_image):
    def replay_with(head):
        return replay_of(build_model(ImageBackbone(str(mini_image)), head, LABELS, None))

    width = replay_with(NativeHead()).classifier.in_features
    assert kind_of(replay_with(NativeHead())) == ("pooled", width)
    assert kind_of(replay_with(MLPHead((4,)))) == ("mlp", width)
    assert kind_of(replay_with(LSTMHead(4, 1))) == ("lstm", 4)


# ---------------------------------------------------------------------------------------------------------------------
# The table


def test_the_committed_table_is_well_formed_and_measures_every_kind():
    rows = read_table()
    for entry in rows:
        assert entry["speedup"] == pytest.approx(entry["bfloat16_per_s"] / entry["float32_per_s"], rel=2e-3)
        for field in ("float32_per_s", "bfloat16_per_s"):
            assert geometric_mean(case[field] for case in entry["cases"].values()) == pytest.approx(entry[field], 2e-3)
    every = {(phase, kind) for phase in ("features", "train") for kind in ("encoder", "cnn", "cnn-depthwise", "vit")}
    every |= {("train", kind) for kind in ("lstm", "pooled", "mlp")}
    for device in {entry["device"] for entry in rows}:
        assert {(entry["phase"], entry["kind"]) for entry in rows if entry["device"] == device} == every


def test_every_committed_row_decides_for_its_own_size(monkeypatch):
    for entry in read_table():
        monkeypatch.setattr(precision, "device_kind", lambda device, here=entry["device"]: here)
        dtype = "bfloat16" if entry["bfloat16_per_s"] >= 1.1 * entry["float32_per_s"] else "float32"
        if abs(entry["speedup"] - 1.1) > 0.005:  # where rounding does not decide
            assert choose(entry["phase"], entry["kind"], entry["size"], "cpu").dtype == dtype


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speedup": 3.5}, "speedup is not"),
        ({"float32_per_s": -100.0, "bfloat16_per_s": -294.0}, "float32_per_s must be a positive number"),
        ({"bfloat16_per_s": float("nan")}, "bfloat16_per_s must be a positive number"),
        ({"bfloat16_per_s": "294"}, "bfloat16_per_s must be a positive number"),
        ({"size": 0}, "size must be a positive number"),
        ({"phase": "extract"}, "phase one of features, train"),
        ({"device": "there"}, "device must be one of"),
        ({"size": 128}, "stand there twice"),
        ({"kind": None}, "kind a word"),
    ],
)
def test_a_malformed_row_is_named(changes, message):
    content = copy.deepcopy(TABLE)
    content["rows"][1].update(changes)
    with pytest.raises(ValueError, match=f"row 1 .*{message}"):
        check_table(content)


@pytest.mark.parametrize("field", precision.FIELDS)
def test_a_missing_field_is_named(field):
    content = copy.deepcopy(TABLE)
    del content["rows"][2][field]
    with pytest.raises(ValueError, match=f"row 2 .*: {field} missing"):
        check_table(content)


def test_naming_the_choices_imports_nothing_heavy():
    code = (
        "import sys, hf_transfer.precision as p; p.read_table(); print({'torch', 'numpy', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr
