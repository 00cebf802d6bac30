"""Objectives that keep what was learnt: distillation and DELTA, by hand, on mini models, and in whole runs."""

import copy
import json

import pytest
import torch
from datasets import Dataset
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint
from torch.nn import functional as F
from transformers import (
    AutoModelForSequenceClassification,
    TimmWrapperForImageClassification,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from hf_transfer import (
    DELTA,
    L2SP,
    Distillation,
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    LinearHead,
    NativeHead,
    Recipe,
    Stage,
    Supervised,
    TextBackbone,
    TextClassification,
    UserError,
    run,
)
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels
from hf_transfer.feature_blocks import feature_blocks
from hf_transfer.inputs import collator, encode
from hf_transfer.joint import Joint
from hf_transfer.objectives.delta_term import map_distance, positions
from hf_transfer.objectives.distillation_term import soft_divergence
from hf_transfer.objectives.step_loss import build_objective
from hf_transfer.objectives.terms import Context
from hf_transfer.teachers import load_teacher
from hf_transfer.trainer import TransferTrainer

SINGLE, SEVERAL = "single_label_classification", "multi_label_classification"
LABELS = Labels(SINGLE, ("bad", "good"), None)


def no_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


class Ground:
    """A mini model, its inputs for some rows, and what terms are built from."""

    def __init__(self, folder, architecture: str = "bert", head=None, labels=LABELS, rows: int = 6):
        set_seed(0)
        if architecture.startswith("test_"):
            net = mini_image_checkpoint(folder / architecture, architecture)
            self.backbone = ImageBackbone(str(net), image_size=160 if "vit" in architecture else 64)
            size = self.backbone.image_size
            self.inputs = {"pixel_values": torch.randn(rows, 3, size, size)}
        else:
            net = mini_text_checkpoint(folder / architecture, architecture)
            self.backbone = TextBackbone(str(net), max_length=32)
        self.processor = self.backbone.processor()
        self.labels = labels
        self.model = build_model(self.backbone, head or NativeHead(), labels, self.processor)
        if self.backbone.modality == "text":
            self.texts = Dataset.from_dict({"text": [text for text, _ in make_texts(rows)]})
            encoded = encode(self.backbone, self.processor, self.texts)
            self.inputs = collator(self.backbone, self.processor)([encoded[row] for row in range(rows)])
        self.rows = rows

    def context(self, **changes) -> Context:
        model = self.model
        values = dict(
            model=model, depths=self.backbone.depths(model), num_labels=2, problem_type=self.labels.problem_type,
            blocks=feature_blocks(model),
            teacher=lambda name: load_teacher(name, self.backbone, self.processor, self.labels),
        )  # fmt: skip
        return Context(**{**values, **changes})

    def part(self, objective, name: str, move: bool = True, inputs=None, **changes) -> torch.Tensor:
        """One part of an objective on these rows, the model in evaluation mode; its weights moved meanwhile."""
        built = build_objective(Supervised() + objective, self.labels.problem_type, context=self.context(**changes))
        self.model.eval()
        if move:
            torch.manual_seed(1)
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        joint, inputs = Joint(self.model, built), inputs or self.inputs
        labels = torch.zeros(self.rows, dtype=torch.long)
        value = joint.parts(inputs, self.model(**inputs), labels, 0.0)[name]
        joint.let_go()
        return value


# ---------------------------------------------------------------------------------------------------------------------
# Distillation by hand


def test_soft_divergence_is_that_of_torch():
    student, teacher = torch.randn(5, 3, dtype=torch.float64).float(), torch.randn(5, 3)
    for temperature in (1.0, 2.0, 5.0):
        said, true = F.log_softmax(student / temperature, -1), F.log_softmax(teacher / temperature, -1)
        expected = F.kl_div(said, true, reduction="none", log_target=True).sum(-1)
        rows = soft_divergence(student, teacher, temperature)
        torch.testing.assert_close(rows, temperature**2 * expected)
    assert soft_divergence(teacher, teacher, 2.0).abs().max() < 1e-6


def test_soft_divergence_of_several_labels_is_that_of_coins():
    student, teacher = torch.tensor([[0.3, -1.0]]), torch.tensor([[2.0, 0.5]])
    p, q = torch.sigmoid(teacher / 2), torch.sigmoid(student / 2)
    coins = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(soft_divergence(student, teacher, 2.0, several=True), 4 * coins.mean(-1))


def test_at_high_temperature_it_compares_centred_logits():
    """Hinton et al. 2015, equation 4: the gradient tends to (z - v) / N for logits that are centred."""
    student = torch.tensor([[0.5, -0.3, -0.2]], requires_grad=True)
    teacher = torch.tensor([[1.0, 0.0, -1.0]])
    soft_divergence(student, teacher, 200.0).sum().backward()
    torch.testing.assert_close(student.grad, (student.detach() - teacher) / 3, atol=2e-3, rtol=0)


@pytest.mark.parametrize("architecture", ["bert", "test_resnet"])
def test_the_model_as_its_own_teacher(architecture, tmp_path):
    ground = Ground(tmp_path, architecture)
    assert ground.part(Distillation(), "distillation", move=False).item() == pytest.approx(0.0, abs=1e-6)
    before = copy.deepcopy(ground.model).eval()
    moved = ground.part(Distillation(temperature=3.0), "distillation")
    rows = soft_divergence(ground.model(**ground.inputs).logits, before(**ground.inputs).logits, 3.0)
    torch.testing.assert_close(moved, rows.sum())
    assert moved.item() > 1e-4


def test_a_teacher_is_no_part_of_what_is_trained_or_saved(tmp_path):
    ground = Ground(tmp_path)
    built = build_objective(Supervised() + Distillation() + DELTA(), SINGLE, context=ground.context())
    assert not list(built.parameters()) and not list(built.buffers()) and not Joint(ground.model, built).learns
    built.train()
    for term in built.terms:
        kept = term.teacher if term.name == "distillation" else term.reference
        assert not kept.model.training and not any(p.requires_grad for p in kept.model.parameters())
    assert all(parameter.requires_grad for parameter in ground.model.parameters())


# ---------------------------------------------------------------------------------------------------------------------
# Teachers from a folder


def stock_teacher(folder, backbone, names: tuple[str, ...], **changes) -> str:
    torch.manual_seed(5)
    model = AutoModelForSequenceClassification.from_pretrained(
        backbone.checkpoint, num_labels=len(names), id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)}, **changes,
    )  # fmt: skip
    model.save_pretrained(folder)
    backbone.processor().save_pretrained(folder)
    return str(folder)


def test_a_teachers_labels_are_matched_by_name(tmp_path):
    ground = Ground(tmp_path)
    folder = stock_teacher(tmp_path / "teacher", ground.backbone, ("good", "bad"))
    teacher = ground.context().teacher(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "teacher").eval()
    with torch.no_grad():
        said, own = teacher.eval()(**ground.inputs).logits, plain(**ground.inputs).logits
    torch.testing.assert_close(said, own.flip(-1))
    assert (said - own).abs().min() > 1e-4
    value = ground.part(Distillation(folder), "distillation", move=False)
    rows = soft_divergence(ground.model(**ground.inputs).logits, own.flip(-1), 2.0)
    torch.testing.assert_close(value, rows.sum())


def test_a_teacher_of_another_architecture_takes_the_same_inputs(tmp_path):
    ground = Ground(tmp_path)
    assert "token_type_ids" in ground.inputs  # DistilBERT has none
    other = TextBackbone(str(mini_text_checkpoint(tmp_path / "distilbert", "distilbert")))
    folder = stock_teacher(tmp_path / "teacher", other, ("bad", "good"))
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        said = plain(ground.inputs["input_ids"], ground.inputs["attention_mask"]).logits
        own = ground.context().teacher(folder).eval()(**ground.inputs).logits
    torch.testing.assert_close(own, said)


def test_a_net_teaches_a_net(tmp_path):
    ground = Ground(tmp_path, "test_resnet")
    folder = str(mini_image_checkpoint(tmp_path / "teacher", "test_efficientnet"))
    config = TimmWrapperForImageClassification.from_pretrained(folder).config
    settings = {**config.pretrained_cfg, "input_size": [3, 64, 64], "test_input_size": None}
    config.pretrained_cfg, config.label_names = settings, ["good", "bad"]
    config.num_labels, config.id2label, config.label2id = 2, {0: "good", 1: "bad"}, {"good": 0, "bad": 1}
    net = TimmWrapperForImageClassification(config)
    torch.manual_seed(7)
    torch.nn.init.normal_(net.timm_model.get_classifier().weight)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    net.train()(**ground.inputs)  # with the statistics that it was drawn with, it says nothing
    net.save_pretrained(tmp_path / "teacher")
    value = ground.part(Distillation(folder), "distillation", move=False)
    # One net reads pixels of mean 0.5, the other those that are usual for ImageNet.
    pixels = ground.inputs["pixel_values"] * 0.5 + 0.5
    mean, std = (torch.tensor(settings[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    assert settings["mean"][0] == 0.485 and ground.processor.data_config["mean"][0] == 0.5
    with torch.no_grad():
        said = net.eval()(pixel_values=(pixels - mean) / std).logits.flip(-1)
        assert (said - net(**ground.inputs).logits.flip(-1)).abs().max() > 0.1
    torch.testing.assert_close(value, soft_divergence(ground.model(**ground.inputs).logits, said, 2.0).sum())
    config.pretrained_cfg = {**settings, "input_size": [3, 96, 96]}
    TimmWrapperForImageClassification(config).save_pretrained(tmp_path / "teacher")
    with pytest.raises(UserError, match=r"of size \(3, 96, 96\), this model of size \(3, 64, 64\); set back"):
        ground.context().teacher(folder)


@pytest.mark.parametrize(
    ("names", "changes", "words"),
    [
        (("good", "dull"), {}, "does not know the label 'bad' .it knows good, dull"),
        (("good", "bad", "dull"), {}, "knows a label that no row has, 'dull'"),
        (("good", "bad"), {"problem_type": SEVERAL}, f"was trained for {SEVERAL}, and this task is {SINGLE}"),
    ],
)
def test_a_teacher_of_other_classes_is_refused(names, changes, words, tmp_path):
    ground = Ground(tmp_path)
    folder = stock_teacher(tmp_path / "teacher", ground.backbone, names, **changes)
    with pytest.raises(UserError, match=words):
        ground.part(Distillation(folder), "distillation")


def test_a_teacher_that_reads_otherwise_is_refused(tmp_path):
    ground = Ground(tmp_path)
    folder = tmp_path / "teacher"
    stock_teacher(folder, ground.backbone, ("bad", "good"))
    with pytest.raises(UserError, match="reads at most 80 tokens; backbone.max_length is larger"):
        load_teacher(str(folder), TextBackbone(ground.backbone.checkpoint, max_length=81), ground.processor, LABELS)
    other = TextBackbone(ground.backbone.checkpoint, add_tokens=("zzz",)).processor()
    other.save_pretrained(folder)
    with pytest.raises(UserError, match="another vocabulary"):
        load_teacher(str(folder), ground.backbone, ground.processor, LABELS)
    with pytest.raises(UserError, match="neither a folder on this disk nor reachable"):
        load_teacher("nobody/nothing", ground.backbone, ground.processor, LABELS)


# ---------------------------------------------------------------------------------------------------------------------
# DELTA


def test_map_distance_by_hand():
    now, then = torch.zeros(2, 3, 2), torch.zeros(2, 3, 2)
    now[0] = torch.tensor([[1.0, 2.0], [0.0, 0.0], [7.0, 7.0]])
    assert map_distance(now, then).tolist() == pytest.approx([(5 + 98) / 3, 0.0])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert map_distance(now, then, mask).tolist() == pytest.approx([5 / 2, 0.0])


def test_maps_become_positions():
    maps = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    tokens = positions(maps, channels_last=False)
    assert tokens.shape == (2, 20, 3) and torch.equal(tokens[1, 7], maps[1, :, 1, 2])
    assert positions(maps, channels_last=True).shape == (2, 12, 5)
    assert positions((tokens, None), channels_last=False) is tokens


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("bert", ["bert.encoder.layer.1"]),
        ("distilbert", ["distilbert.transformer.layer.1"]),
        ("test_resnet", [f"timm_model.layer{number}" for number in (1, 2, 3, 4)]),
        ("test_vit", [f"timm_model.blocks.{number}" for number in (3, 4, 5)]),
    ],
)
def test_the_distance_is_that_of_the_upper_blocks(architecture, expected, tmp_path):
    """Against the maps that the blocks' own hooks see, on the model before and after its weights moved."""
    ground = Ground(tmp_path, architecture)
    assert ground.part(DELTA(), "delta", move=False).item() == 0.0
    before = copy.deepcopy(ground.model).eval()
    value = ground.part(DELTA(), "delta")

    def maps(model) -> list[torch.Tensor]:
        kept = []
        hooks = [
            model.get_submodule(name).register_forward_hook(lambda module, inputs, output: kept.append(output))
            for name in expected
        ]
        with torch.no_grad():
            model(**ground.inputs)
        for hook in hooks:
            hook.remove()
        return [one[0] if isinstance(one, tuple) else one for one in kept]

    expected_value = 0.0
    for now, then in zip(maps(ground.model), maps(before), strict=True):
        for row in range(ground.rows):
            squares = (now[row] - then[row]) ** 2
            if now.ndim == 4:
                expected_value += squares.sum() / now[0, 0].numel()
            else:
                length = ground.inputs["attention_mask"][row].sum() if "bert" in architecture else len(now[row])
                expected_value += squares[:length].sum() / length
    assert value.item() == pytest.approx(expected_value.item(), rel=1e-4) and value.item() > 0


def test_padding_does_not_count(tmp_path):
    ground = Ground(tmp_path)
    built = build_objective(Supervised() + DELTA(), SINGLE, context=ground.context())
    with torch.no_grad():
        ground.model.bert.encoder.layer[1].output.dense.weight.add_(0.05)
    joint = Joint(ground.model.eval(), built)
    longer = {name: F.pad(values, (0, 9)) for name, values in ground.inputs.items()}
    labels = torch.zeros(ground.rows, dtype=torch.long)
    short, long = (joint.parts(one, ground.model(**one), labels, 0.0)["delta"] for one in (ground.inputs, longer))
    assert short.item() == pytest.approx(long.item(), rel=1e-4) and short.item() > 0


def test_the_gradient_reaches_the_model_and_not_its_copy(tmp_path):
    ground = Ground(tmp_path, "test_resnet")
    ground.part(DELTA(top=1), "delta").backward()
    parameters = dict(ground.model.named_parameters())
    assert parameters["timm_model.layer1.0.conv1.weight"].grad.abs().sum() > 0
    assert parameters["timm_model.fc.weight"].grad is None


def test_input_embeddings_have_no_blocks(tmp_path):
    ground = Ground(tmp_path)
    alone = TextBackbone(ground.backbone.checkpoint, embeddings_only=True, max_length=32)
    model = build_model(alone, LinearHead(), LABELS, ground.processor)
    with pytest.raises(UserError, match="this backbone has none"):
        build_objective(Supervised() + DELTA(), SINGLE, context=ground.context(blocks=feature_blocks(model)))


@pytest.mark.parametrize(
    ("objective", "changes", "words"),
    [
        (DELTA(top=3), {}, "DELTA.top is 3; this backbone has 2 blocks"),
        (DELTA(), {"frozen": True}, "FrozenFeatures moves none; leave it out"),
        (L2SP(), {"frozen": True}, "FrozenFeatures moves none; leave it out"),
        (Distillation(), {"head_learnt": False}, "its head is new; name a teacher"),
        (Distillation(), {"frozen": True}, "a frozen backbone is trained on recorded features"),
    ],
)
def test_what_a_training_lacks_is_told_when_the_term_is_built(objective, changes, words, tmp_path):
    ground = Ground(tmp_path)
    with pytest.raises(UserError, match=words):
        build_objective(Supervised() + objective, SINGLE, context=ground.context(**changes))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DELTA(top=0), "DELTA.top is 0; allowed: a whole number from 1 on"),
        (lambda: Distillation(temperature=0), "Distillation.temperature is 0; allowed: a number above 0"),
        (lambda: (Supervised() + Distillation()).check(False, "regression"), "this task is a regression"),
        (lambda: (Supervised() + 0.01 * DELTA()).check(True, SINGLE), "FrozenFeatures moves none"),
    ],
)
def test_values_refuse_what_makes_no_sense(make, words):
    with pytest.raises(UserError, match=words):
        make()


# ---------------------------------------------------------------------------------------------------------------------
# In training


@pytest.mark.parametrize("architecture", ["bert", pytest.param("test_resnet", marks=pytest.mark.slow)])
def test_resuming_gives_the_weights_of_an_unbroken_run(architecture, tmp_path):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 2:
                control.should_save = control.should_training_stop = True

    def trainer(**changes):
        ground = Ground(tmp_path, architecture, rows=16)
        built = build_objective(
            Supervised() + Distillation() + 0.1 * DELTA(), SINGLE, context=ground.context(model=ground.model)
        )
        rows = [{name: values[row] for name, values in ground.inputs.items()} for row in range(16)]
        settings = dict(
            output_dir=str(tmp_path / "out"), report_to="none", max_steps=4, per_device_train_batch_size=4, seed=1,
            save_strategy="no", disable_tqdm=True, remove_unused_columns=False, label_names=["labels"],
            dataloader_pin_memory=False, train_sampling_strategy="random", learning_rate=1e-2, logging_steps=1,
        )  # fmt: skip
        return TransferTrainer(
            model=ground.model, args=TrainingArguments(**{**settings, **changes}), train_dataset=rows, objective=built,
            data_collator=lambda batch: {
                **{name: torch.stack([row[name] for row in batch]) for name in batch[0]},
                "labels": torch.arange(len(batch)) % 2,
            },
        )  # fmt: skip

    whole = trainer()
    whole.train()
    broken = trainer(save_strategy="steps", save_steps=100)
    broken.add_callback(Stop())
    broken.train()
    resumed = trainer()
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-2"))
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    logged = [entry for entry in whole.state.log_history if "loss" in entry]
    assert all(logged[-1][f"loss_{name}"] > 0 for name in ("task", "distillation", "delta"))


def test_a_whole_run_with_both_and_the_result_as_a_teacher(tmp_path, mini_text, capsys):
    """LP-FT whose second stage stays near to the probe; what it left then teaches a run of its own."""
    texts, names = zip(*make_texts(80), strict=True)
    data = TextClassification(Dataset.from_dict({"text": list(texts), "label": list(names)}))
    backbone = TextBackbone(str(mini_text), max_length=32)
    kept = Supervised() + Distillation() + 0.01 * DELTA()
    recipe = Recipe(
        summary="LP-FT that keeps", data=data, backbone=backbone, head=LinearHead(),
        strategy=(Stage(FrozenFeatures()), Stage(FullFineTune(), objective=kept)),
        training=dict(num_train_epochs=1),
    )  # fmt: skip
    first = run(recipe, tmp_path / "first")
    shown = capsys.readouterr().out
    assert shown.count("  objective ") == 1 and " + 0.01 * DELTA(top=None)\n" in shown
    (epoch,) = [entry for entry in first.data["history"] if entry.get("stage", 2) == 2 and "train_loss" in entry]
    assert epoch["train_loss"] == pytest.approx(sum(epoch["train_parts"].values()), abs=1e-3)
    parts = ", ".join(f"{name} {epoch['train_parts'][name]:.4g}" for name in ("task", "distillation", "delta"))
    assert f"train loss {epoch['train_loss']:.4f} ({parts})  validation:" in shown
    config = json.loads((tmp_path / "first" / "config.json").read_text())
    assert config["model_type"] == "transfer_text"
    taught = Supervised() + Distillation(checkpoint=str(tmp_path / "first"))
    second = Recipe(
        summary="taught", data=data, backbone=backbone, head=NativeHead(), objective=taught,
        training=dict(num_train_epochs=1, logging_steps=1),
    )  # fmt: skip
    result = run(second, tmp_path / "second")
    assert result.data["metrics"]["test"]["accuracy"] >= 0
    held = json.loads((tmp_path / "second" / "recipe.json").read_text())["objective"]
    assert "Distillation" in json.dumps(held)
    with pytest.raises(UserError, match="its head is new"):
        run(Recipe(summary="none", data=data, backbone=backbone, objective=kept), tmp_path / "third")


@pytest.mark.parametrize(
    ("strategy", "changes", "words"),
    [
        (FrozenFeatures(), {}, "give it to the stage that trains the backbone"),
        (FullFineTune(), {"embeddings_only": True}, "this backbone has none"),
    ],
)
def test_a_later_stages_mistake_is_told_before_the_first_one_trains(
    strategy, changes, words, tmp_path, mini_text, reviews, capsys
):
    recipe = Recipe(
        summary="none", data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32, **changes), head=LinearHead(),
        strategy=(Stage(FullFineTune()), Stage(strategy, objective=Supervised() + DELTA())),
    )  # fmt: skip
    with pytest.raises(UserError, match=words):
        run(recipe, tmp_path / "out")
    assert "stage 1" not in capsys.readouterr().out
