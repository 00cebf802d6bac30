"""A resumed training draws what the unbroken one drew."""

import torch
from datasets import Dataset
from mini import make_texts
from transformers import TrainingArguments, set_seed

from hf_transfer import NativeHead, Supervised, TextBackbone
from hf_transfer.assembly import build_model
from hf_transfer.cpu import attention
from hf_transfer.data import Labels
from hf_transfer.inputs import collator, encode
from hf_transfer.objectives.step_loss import build_objective
from hf_transfer.trainer import TransferTrainer


def train(folder, checkpoint, bf16, resume=None):
    backbone = TextBackbone(str(checkpoint), max_length=32)
    set_seed(0)
    processor = backbone.processor()
    model = build_model(backbone, NativeHead(), Labels("single_label_classification", ("bad", "good")), processor)
    texts, names = zip(*make_texts(32), strict=True)
    rows = Dataset.from_dict({"text": list(texts), "label": [int(name == "good") for name in names]})
    arguments = TrainingArguments(
        output_dir=str(folder), report_to="none", max_steps=6, save_steps=3, learning_rate=1e-2, disable_tqdm=True,
        remove_unused_columns=False, label_names=["labels"], dataloader_pin_memory=False, bf16=bf16, use_cpu=True,
        per_device_train_batch_size=8, train_sampling_strategy="group_by_length",
    )  # fmt: skip
    trainer = TransferTrainer(
        model=model, args=arguments, train_dataset=encode(backbone, processor, rows),
        data_collator=collator(backbone, processor),
        objective=build_objective(Supervised(), "single_label_classification"),
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    trainer.let_go()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_the_weights_are_those_of_an_unbroken_run(tmp_path, mini_text, monkeypatch):
    calls, apply = [], attention.DropoutAttention.apply
    monkeypatch.setattr(attention.DropoutAttention, "apply", lambda *a: calls.append(a[0].dtype) or apply(*a))
    for bf16 in (False, True):
        folder = tmp_path / str(bf16)
        whole = train(folder, mini_text, bf16)
        rest = train(tmp_path / f"{bf16}-rest", mini_text, bf16, resume=str(folder / "checkpoint-3"))
        assert torch.equal(whole, rest)
        assert set(calls) == {torch.bfloat16 if bf16 else torch.float32}
        calls.clear()
