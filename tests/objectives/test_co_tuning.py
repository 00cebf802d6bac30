"""Co-Tuning: the source head by hand, on mini models that bring a classifier, and in whole runs."""

import json
from typing import NamedTuple

import pytest
import torch
from datasets import Dataset
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, TimmWrapperForImageClassification, set_seed

from hf_transfer import (
    CoTuning,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    MLPHead,
    NativeHead,
    Recipe,
    Supervised,
    TextBackbone,
    TextClassification,
    UserError,
    run,
)
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels
from hf_transfer.inputs import collator, encode
from hf_transfer.joint import Joint
from hf_transfer.objectives.co_tuning_term import class_meanings
from hf_transfer.objectives.step_loss import build_objective
from hf_transfer.objectives.terms import Context
from hf_transfer.source_heads import load_source

SINGLE = "single_label_classification"
LABELS = Labels(SINGLE, ("bad", "good"), None)


def classifier(folder, architecture: str):
    """Write a text checkpoint with a classifier of 3 classes, as one that was fine-tuned before."""
    encoder = mini_text_checkpoint(folder / "encoder", architecture)
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=3)
    for parameter in model.classifier.parameters():
        torch.nn.init.normal_(parameter, std=1.0)
    model.save_pretrained(folder)
    TextBackbone(str(encoder)).processor().save_pretrained(folder)
    return folder


class Named(NamedTuple):
    """What is read of a recipe."""

    backbone: object
    head: object


class Ground:
    """A mini model with a new head, and the training rows."""

    def __init__(self, folder, architecture: str, head=None, **backbone):
        set_seed(0)
        if architecture.startswith("test_"):
            from PIL import Image

            net = mini_image_checkpoint(folder / "net", architecture)
            self.backbone = ImageBackbone(str(net), image_size=64, augmentation="crop", **backbone)
            images = [Image.new("RGB", (64, 64), (20 * number, 90, 250 - 20 * number)) for number in range(8)]
            self.rows = Dataset.from_dict({"image": images, "label": [number % 2 for number in range(8)]})
        else:
            self.backbone = TextBackbone(str(classifier(folder / "net", architecture)), max_length=32)
            texts, names = zip(*make_texts(8), strict=True)
            labels = [int(name == "good") for name in names]
            self.rows = Dataset.from_dict({"text": list(texts), "label": labels})
        self.processor = self.backbone.processor()
        self.model = build_model(self.backbone, head or NativeHead(), LABELS, self.processor)
        self.recipe = Named(self.backbone, head or NativeHead())
        self.encoded = encode(self.backbone, self.processor, self.rows)
        self.collate = collator(self.backbone, self.processor)
        self.batch = self.collate([self.encoded[row] for row in range(8)])
        self.labels = self.batch.pop("labels")

    def build(self, objective):
        def source():
            return load_source(self.model, self.recipe, self.encoded, self.rows["label"], self.collate)

        return build_objective(
            Supervised() + objective, SINGLE, context=Context(self.model, self.backbone.depths(self.model), 2,
                                                              source=source)
        )  # fmt: skip

    def pretrained(self):
        auto = AutoModelForSequenceClassification
        auto = TimmWrapperForImageClassification if self.backbone.modality == "image" else auto
        return auto.from_pretrained(self.backbone.checkpoint).eval()


def test_class_meanings_by_hand():
    probabilities = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.3, 0.7]])
    meanings = class_meanings(probabilities.log() + 4.0, torch.tensor([0, 2, 0]), 3)
    assert meanings.tolist() == [
        pytest.approx([0.4, 0.6]), pytest.approx([1.7 / 3, 1.3 / 3]), pytest.approx([0.9, 0.1])
    ]  # fmt: skip


@pytest.mark.parametrize(
    "architecture",
    ["bert", "test_resnet", *(pytest.param(n, marks=pytest.mark.slow) for n in ("distilbert", "roberta"))],
)
def test_at_the_start_the_source_head_says_what_the_checkpoint_says(architecture, tmp_path):
    """The loss before training, against the checkpoint loaded as what it is; and where its gradient reaches."""
    ground = Ground(tmp_path, architecture)
    built = ground.build(CoTuning(strength=0.7))
    joint = Joint(ground.model, built).eval()
    assert joint.learns
    outputs = ground.model(**ground.batch)
    value = joint.parts(ground.batch, outputs, ground.labels, 0.0)["co_tuning"]
    with torch.no_grad():
        logits = ground.pretrained()(**ground.batch).logits
    assert logits.shape[1] == (7 if architecture.startswith("test_") else 3)
    meanings = class_meanings(logits, ground.labels, 2)
    rows = F.cross_entropy(logits, meanings[ground.labels], reduction="none")
    assert value.item() == pytest.approx(0.7 * rows.sum().item(), rel=1e-4)
    value.backward()
    for parameter in built.parameters():
        assert parameter.requires_grad and parameter.grad is not None and parameter.grad.abs().sum() > 0
    name = "timm_model.layer4.0.conv1.weight" if architecture.startswith("test_") else None
    inside = [p for n, p in ground.model.named_parameters() if n == name or (name is None and "layer.1" in n)]
    assert inside and any(p.grad is not None and p.grad.abs().sum() > 0 for p in inside)
    top = max(ground.backbone.depths(ground.model).values())
    heads = [p for n, p in ground.model.named_parameters() if ground.backbone.depths(ground.model)[n] == top]
    assert all(p.grad is None for p in heads)  # the new head has no part in it


def test_only_the_source_heads_layers_are_kept(tmp_path):
    built = Ground(tmp_path, "bert").build(CoTuning())
    shapes = sorted(tuple(parameter.shape) for parameter in built.parameters())
    assert shapes == [(3,), (3, 16)]
    assert [name for name, _ in built.named_buffers()] == ["terms.0.meaning"]


@pytest.mark.parametrize(
    ("architecture", "head", "backbone", "words"),
    [
        ("test_resnet", MLPHead(), {}, "needs a head that reads what the checkpoint's classifier reads"),
        ("test_resnet", LinearHead(), {"pooling": "max"}, "needs a head that reads"),
        ("test_resnet", LinearHead(), {"in_chans": 1}, "leave backbone.in_chans out"),
        ("bert", LinearHead(), {}, "for texts a NativeHead"),
    ],
)
def test_a_head_that_reads_something_else_is_refused(architecture, head, backbone, words, tmp_path):
    ground = Ground(tmp_path, architecture, head, **backbone)
    with pytest.raises(UserError, match=words):
        ground.build(CoTuning())


def test_a_checkpoint_without_a_classifier_is_refused(tmp_path):
    ground = Ground(tmp_path, "bert")
    ground.recipe = Named(TextBackbone(str(tmp_path / "net" / "encoder"), max_length=32), NativeHead())
    with pytest.raises(UserError, match="has none: it lacks 'classifier.bias'"):
        ground.build(CoTuning())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CoTuning(strength=-1), "CoTuning.strength is -1; allowed: a number of at least 0"),
        (lambda: CoTuning().check(False, "regression"), "matches classes with classes, and this task is regression"),
        (lambda: CoTuning().check(True, SINGLE), "CoTuning trains features"),
    ],
)
def test_values_refuse_what_makes_no_sense(make, words):
    with pytest.raises(UserError, match=words):
        make()


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_whole_run_saves_the_model_alone(modality, tmp_path, photos):
    if modality == "text":
        texts, names = zip(*make_texts(80), strict=True)
        data = TextClassification(Dataset.from_dict({"text": list(texts), "label": list(names)}))
        backbone, last = TextBackbone(str(classifier(tmp_path / "net", "bert")), max_length=32), "classifier.weight"
    else:
        data = ImageClassification(str(photos))
        net = mini_image_checkpoint(tmp_path / "net", "test_resnet")
        backbone, last = ImageBackbone(str(net), image_size=64), "timm_model.fc.weight"
    recipe = Recipe(
        summary="co-tuning", data=data, backbone=backbone, objective=Supervised() + CoTuning(),
        training=dict(num_train_epochs=1, logging_steps=1),
    )  # fmt: skip
    run(recipe, tmp_path / "out", keep_checkpoints=True)
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert len(saved[last]) == 2
    assert not any("objective" in name or "terms" in name for name in saved)
    place = sorted((tmp_path / "out" / "checkpoints").glob("checkpoint-*"))[-1]
    held = load_file(place / "model.safetensors")
    assert "objective.terms.0.meaning" in held
    for name, tensor in saved.items():
        assert torch.equal(held[f"model.{name}"], tensor), name
    history = json.loads((place / "trainer_state.json").read_text())["log_history"]
    assert all("loss_co_tuning" in entry for entry in history if "loss" in entry)
