"""Strategies in training: what moves in which epoch, and the same weights when a run is stopped and resumed."""

import pytest
import torch
from datasets import Dataset
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint
from torch import nn
from transformers import TrainerCallback, TrainingArguments, set_seed

from hf_transfer import (
    BSS,
    L2SP,
    BitFit,
    FullFineTune,
    GradualUnfreeze,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    NativeHead,
    PartialFineTune,
    Supervised,
    TextBackbone,
)
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels, load_data
from hf_transfer.inputs import collator, encode
from hf_transfer.objectives.step_loss import build_objective
from hf_transfer.objectives.terms import Context
from hf_transfer.trainer import TransferTrainer

KIND = "single_label_classification"
ARCHITECTURES = [
    "bert",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("distilbert", "roberta", "test_vit")),
    "test_resnet",
]


class Snapshots(TrainerCallback):
    """The model's parameters and buffers before training and after each epoch."""

    def __init__(self):
        self.states = []

    def take(self, model):
        self.states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.take(model)

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        self.take(model)

    def moved(self, epoch: int) -> set[str]:
        """What changed in an epoch, counted from 1."""
        before, after = self.states[epoch - 1], self.states[epoch]
        return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture
def trainer_of(tmp_path, photos):
    """Build a trainer of a mini model of some architecture on a few rows."""

    def build(architecture: str, strategy, objective=None, **changes) -> TransferTrainer:
        set_seed(0)
        if architecture.startswith("test_"):
            net = mini_image_checkpoint(tmp_path / "net", architecture)
            backbone = ImageBackbone(str(net), image_size=160 if "vit" in architecture else 32, augmentation="none")
            splits = load_data(ImageClassification(str(photos)), progress=False)
            rows, labels, head = splits.train, splits.labels, LinearHead()
        else:
            backbone = TextBackbone(str(mini_text_checkpoint(tmp_path / "net", architecture)), max_length=32)
            texts, names = zip(*make_texts(24), strict=True)
            rows = Dataset.from_dict({"text": list(texts), "label": [int(name == "good") for name in names]})
            labels, head = Labels(KIND, ("bad", "good"), None), NativeHead()
        processor = backbone.processor()
        set_seed(1)
        model = build_model(backbone, head, labels, processor)
        depths = backbone.depths(model)
        model = strategy.prepare(model, depths)
        built = build_objective(objective or Supervised(), KIND, context=Context(model, depths, 2))
        settings = dict(
            output_dir=str(tmp_path / "out"), report_to="none", learning_rate=1e-2, num_train_epochs=3,
            per_device_train_batch_size=8, save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
            label_names=["labels"], dataloader_pin_memory=False, train_sampling_strategy="random", weight_decay=0.1,
        )  # fmt: skip
        return TransferTrainer(
            model=model, args=TrainingArguments(**{**settings, **changes}), strategy=strategy, depths=depths,
            train_dataset=encode(backbone, processor, rows), data_collator=collator(backbone, processor),
            objective=built,
        )  # fmt: skip

    return build


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradual_unfreezing_changes_exactly_what_it_should_in_each_epoch(architecture, trainer_of):
    snapshots, strategy = Snapshots(), GradualUnfreeze()
    trainer = trainer_of(architecture, strategy)
    trainer.add_callback(snapshots)
    trainer.train()
    top = max(trainer.depths.values())
    modules = dict(trainer.model.named_modules())
    for epoch in (1, 2, 3):
        moving = {n for n, depth in trainer.depths.items() if strategy.from_epoch(depth, top) < epoch}
        moved = snapshots.moved(epoch)
        parameters = moved & set(trainer.depths)
        assert parameters <= moving
        # A key's bias shifts all attention scores alike: its gradient is zero but for rounding.
        assert moving - parameters <= {n for n in moving if "key.bias" in n or "k_lin.bias" in n or "qkv.bias" in n}
        for name in moved - set(trainer.depths):  # buffers of BatchNorm
            own = {f"{name.rpartition('.')[0]}.{part}" for part in ("weight", "bias")}
            assert isinstance(modules[name.rpartition(".")[0]], nn.Module) and own <= moving, name


@pytest.mark.parametrize("strategy", [PartialFineTune(top=1), BitFit(layer_decay=0.5)], ids=["partial", "bitfit"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_does_not_train_stays_bit_for_bit(architecture, strategy, trainer_of):
    snapshots = Snapshots()
    trainer = trainer_of(architecture, strategy)
    trainer.add_callback(snapshots)
    trainer.train()
    moved = snapshots.moved(1) & set(trainer.depths)
    top = max(trainer.depths.values())
    assert moved and all(strategy.trains(name, trainer.depths[name], top) for name in moved)
    assert {trainer.depths[name] for name in moved} >= {top, top - 1}


def test_lower_depths_learn_slower(trainer_of):
    """With plain SGD and a constant rate, one step moves a parameter by its rate times its gradient."""

    def step(decay: float) -> dict[str, float]:
        trainer = trainer_of(
            "bert", FullFineTune(layer_decay=decay), max_steps=1, optim="sgd", lr_scheduler_type="constant",
            # A fresh head sends small gradients down; a step must be larger than the rounding of what it moves.
            max_grad_norm=0, weight_decay=0.0, learning_rate=100.0,
        )  # fmt: skip
        for module in trainer.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
        trainer.train()
        return {
            name: (parameter.detach() - before[name]).norm().item()
            for name, parameter in trainer.model.named_parameters()
        }, trainer.depths

    (even, depths), (decayed, _) = step(1.0), step(0.5)
    top = max(depths.values())
    names = ("classifier.weight", "bert.encoder.layer.0.output.dense.weight", "bert.embeddings.word_embeddings.weight")
    for name in names:
        assert decayed[name] / even[name] == pytest.approx(0.5 ** (top - depths[name]), rel=0.02)


@pytest.mark.parametrize(
    ("strategy", "objective"),
    [
        (GradualUnfreeze(layer_decay=0.8, slanted_triangular=True), None),
        (FullFineTune(), Supervised() + L2SP() + 1e-3 * BSS()),
    ],
    ids=["gradual", "terms"],
)
@pytest.mark.parametrize("stop_at", [6, 8], ids=["at the border", "inside an epoch"])
def test_resuming_gives_the_weights_of_an_unbroken_run(strategy, objective, stop_at, trainer_of, tmp_path):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == stop_at:
                control.should_save = control.should_training_stop = True

    whole = trainer_of("bert", strategy, objective)
    whole.train()
    broken = trainer_of("bert", strategy, objective, save_strategy="steps", save_steps=1000)
    broken.add_callback(Stop())
    broken.train()
    assert broken.state.global_step == stop_at < whole.state.global_step
    resumed = trainer_of("bert", strategy, objective)
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / f"checkpoint-{stop_at}"))
    assert resumed.state.global_step == whole.state.global_step
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_each_term_is_logged_and_they_add_up(trainer_of):
    trainer = trainer_of("bert", FullFineTune(), Supervised() + 0.5 * L2SP(beta=0.5) + 1e-3 * BSS(), logging_steps=2)
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(entries) >= 3
    for entry in entries:
        parts = [entry[f"loss_{name}"] for name in ("task", "l2_sp", "bss")]
        assert sum(parts) == pytest.approx(entry["loss"], rel=1e-3) and min(parts) > 0


@pytest.mark.parametrize("architecture", ["bert", "test_resnet"])
def test_terms_do_not_depend_on_how_a_step_is_split(architecture, trainer_of):
    """L2-SP beside the task's loss: 6 rows as one batch, and as three with accumulation."""

    def weights(**sizes) -> torch.Tensor:
        trainer = trainer_of(
            architecture, FullFineTune(), Supervised() + L2SP(alpha=5.0, beta=5.0), max_steps=2, optim="sgd",
            max_grad_norm=0, train_sampling_strategy="sequential", **sizes,
        )  # fmt: skip
        for module in trainer.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if isinstance(module, nn.BatchNorm2d):
                module.train(False)
                module.train = lambda mode=True, module=module: module
        trainer.train()
        return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])

    whole = weights(per_device_train_batch_size=6)
    parts = weights(per_device_train_batch_size=2, gradient_accumulation_steps=3)
    torch.testing.assert_close(parts, whole, atol=3e-5, rtol=0)
