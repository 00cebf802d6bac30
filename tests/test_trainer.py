"""The trainer's promises: exact gradients however rows are grouped, and frozen parts that do not move."""

import math

import pytest
import torch
from datasets import Dataset
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint
from transformers import Trainer, TrainingArguments, set_seed

from hf_transfer import FrozenFeatures, FullFineTune, ImageBackbone, LinearHead, NativeHead, Supervised, TextBackbone
from hf_transfer.arguments import build_arguments
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels
from hf_transfer.inputs import collator, encode
from hf_transfer.objectives.step_loss import build_objective
from hf_transfer.trainer import TransferTrainer

NAMES = ("bad", "good")


def arguments(folder, **changes):
    settings = dict(
        output_dir=str(folder), report_to="none", optim="sgd", learning_rate=0.1, max_steps=1, save_strategy="no",
        lr_scheduler_type="constant", max_grad_norm=0, disable_tqdm=True, remove_unused_columns=False,
        label_names=["labels"], dataloader_pin_memory=False, train_sampling_strategy="sequential",
    )  # fmt: skip
    return TrainingArguments(**{**settings, **changes})


def one_step(tmp_path, checkpoint, rows, kind, class_weights=None, **sizes):
    """Return the parameters after one SGD step over all `rows`, and the loss that was logged."""
    labels = Labels(kind, ("value",) if kind == "regression" else NAMES, class_weights)
    backbone = TextBackbone(str(checkpoint), max_length=32)
    set_seed(0)
    tokenizer = backbone.processor()
    model = build_model(backbone, NativeHead(), labels, tokenizer)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    objective = build_objective(Supervised(), kind, class_weights)
    trainer = TransferTrainer(
        model=model, args=arguments(tmp_path, logging_steps=1, **sizes),
        train_dataset=encode(backbone, tokenizer, rows), data_collator=collator(backbone, tokenizer),
        objective=objective,
    )  # fmt: skip
    trainer.train()
    return torch.cat([p.detach().flatten() for p in model.parameters()]), trainer.state.log_history[0]["loss"]


def labelled(kind, count):
    texts, names = zip(*make_texts(count), strict=True)
    classes = [NAMES.index(name) for name in names]
    values = {
        "single_label_classification": classes,
        "multi_label_classification": [[float(number == 0), float(i % 3 == 0)] for i, number in enumerate(classes)],
        "regression": [number * 2.0 - 0.5 for number in classes],
    }  # fmt: skip
    return Dataset.from_dict({"text": list(texts), "label": values[kind]})


# 30 rows as 4 x 8 are micro-batches of 8, 8, 7 and 7.
@pytest.mark.parametrize("count", [32, 30])
@pytest.mark.parametrize(
    "kind,weights",
    [
        ("single_label_classification", None),
        ("single_label_classification", (0.4, 3.0)),
        ("multi_label_classification", None),
        ("regression", None),
    ],
)
def test_accumulated_micro_batches_equal_one_batch(kind, weights, count, tmp_path, mini_text):
    rows = labelled(kind, count)
    whole, loss = one_step(tmp_path, mini_text, rows, kind, weights, per_device_train_batch_size=32)
    parts, parts_loss = one_step(
        tmp_path, mini_text, rows, kind, weights, per_device_train_batch_size=8, gradient_accumulation_steps=4
    )
    torch.testing.assert_close(parts, whole, atol=2e-6, rtol=0)
    assert parts_loss == pytest.approx(loss, abs=1e-4)


def test_loss_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    objective = Supervised().build("single_label_classification", (1.0, 3.0))
    labels = torch.tensor([0, 0])
    expected = torch.log1p(torch.exp(torch.tensor(-2.0))) + torch.log1p(torch.exp(torch.tensor(1.0)))
    assert objective(logits, labels).item() == pytest.approx(expected.item())
    assert objective.row_weights(torch.tensor([0, 1, 1])).tolist() == [1.0, 3.0, 3.0]
    assert objective(logits, torch.tensor([0, 1])).item() == pytest.approx(0.126928 + 3 * 0.313262, abs=1e-5)
    regression = Supervised().build("regression")
    assert regression(torch.tensor([[1.0], [4.0]]), torch.tensor([0.0, 2.0])).item() == pytest.approx(5.0)
    several = Supervised().build("multi_label_classification")
    assert several(torch.zeros(3, 2), torch.ones(3, 2)).item() == pytest.approx(3 * 0.693147, abs=1e-5)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "test_vit"])
def test_a_frozen_net_does_not_move(architecture, tmp_path, photos):
    """Parameters and buffers alike: BatchNorm statistics move under `requires_grad=False`."""
    from hf_transfer import ImageClassification
    from hf_transfer.data import load_data

    backbone = ImageBackbone(
        str(mini_image_checkpoint(tmp_path / "net", architecture)), image_size=160, augmentation="none"
    )
    splits = load_data(ImageClassification(str(photos)), progress=False)
    processor = backbone.processor()
    model = build_model(backbone, LinearHead(), splits.labels, processor)
    FrozenFeatures().prepare(model, backbone.depths(model))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    TransferTrainer(
        model=model, args=arguments(tmp_path, per_device_train_batch_size=4, max_steps=3),
        train_dataset=encode(backbone, processor, splits.train), data_collator=collator(backbone, processor),
        objective=build_objective(Supervised(), "single_label_classification"),
    ).train()  # fmt: skip
    after = model.state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    classifier = {name for name in before if "fc." in name or "classifier" in name or "head." in name}
    assert moved and moved <= classifier


def test_full_fine_tuning_moves_everything(tmp_path):
    backbone = TextBackbone(str(mini_text_checkpoint(tmp_path / "net", "bert")), max_length=32)
    labels = Labels("single_label_classification", NAMES, None)
    model = build_model(backbone, NativeHead(), labels, backbone.processor())
    FrozenFeatures().prepare(model, backbone.depths(model))
    FullFineTune().prepare(model, backbone.depths(model))
    assert all(parameter.requires_grad for parameter in model.parameters())


def text_trainer(args, checkpoint, count):
    backbone = TextBackbone(str(checkpoint), max_length=32)
    tokenizer = backbone.processor()
    labels = Labels("single_label_classification", NAMES, None)
    return TransferTrainer(
        model=build_model(backbone, NativeHead(), labels, tokenizer), args=args,
        train_dataset=encode(backbone, tokenizer, labelled(labels.problem_type, count)),
        data_collator=collator(backbone, tokenizer), objective=build_objective(Supervised(), labels.problem_type),
    )  # fmt: skip


def test_texts_of_like_length_share_a_batch(tmp_path, mini_text):
    def padding(strategy):
        args = arguments(tmp_path, per_device_train_batch_size=8, train_sampling_strategy=strategy)
        masks = [batch["attention_mask"] for batch in text_trainer(args, mini_text, 400).get_train_dataloader()]
        return sum(int((1 - mask).sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    assert padding("group_by_length") < 0.05 < 0.2 < padding("random")


def test_a_loss_that_is_not_a_number_is_shown(tmp_path, mini_text):
    """By default `Trainer` writes the average of the steps before in its place, so a broken run looks well."""
    settings = dict(max_steps=3, eval_strategy="no", save_strategy="no", logging_strategy="steps", logging_steps=1)
    trainer = text_trainer(build_arguments(tmp_path, settings, ("accuracy",)), mini_text, 32)
    torch.nn.init.constant_(trainer.model.classifier.bias, float("nan"))
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 3 and all(math.isnan(loss) for loss in losses)


def test_operations_are_counted_as_stock_trainer_does(tmp_path, mini_text):
    trainer = text_trainer(arguments(tmp_path), mini_text, 8)
    batch = next(iter(trainer.get_train_dataloader()))
    assert trainer.floating_point_ops(batch) == Trainer.floating_point_ops(trainer, batch) > 0
    assert trainer.floating_point_ops({"pooled": torch.zeros(2, 3)}) == 0
