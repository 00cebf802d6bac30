"""A real training run that writes down which rows each forward pass saw; as a script, on the ranks that started it.

torchrun --nproc_per_node 2 tests/helpers/counting.py FOLDER '{"per_device_train_batch_size": 4}'
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from transformers import TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput


class Rows(torch.utils.data.Dataset):
    """Rows of random numbers and of unequal length, handed out as ready batches."""

    def __init__(self, count: int):
        draw = torch.Generator().manual_seed(0)
        self.values = torch.randn(count, 3, generator=draw)
        self.lengths = torch.randint(5, 60, (count,), generator=draw).tolist()

    def __len__(self):
        return len(self.values)

    def __getitems__(self, rows):
        values = self.values[rows]
        return {"values": values, "row": torch.tensor(rows), "labels": (values[:, 0] > 0).long()}


class Counter(nn.Module):
    """A linear classifier that remembers the rows of each training batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 2)
        self.seen = []

    def forward(self, values, row):
        if self.training:
            self.seen.append(row.tolist())
            torch.rand(len(row) % 3)  # dropout, too, moves the global generator differently on each rank
        return SequenceClassifierOutput(logits=self.linear(values))


def train_counting(folder, count: int = 101, resume: str | None = None, **changes) -> dict:
    """Train on `count` rows; return the `seen` rows of each micro-batch, the `steps`, the `losses`, the `weights`."""
    from hf_transfer import Supervised
    from hf_transfer.objectives.step_loss import build_objective
    from hf_transfer.trainer import TransferTrainer

    settings = dict(
        output_dir=str(folder), report_to="none", disable_tqdm=True, optim="sgd", learning_rate=0.1, max_grad_norm=0,
        remove_unused_columns=False, label_names=["labels"], dataloader_pin_memory=False, save_strategy="no",
        logging_strategy="epoch", train_sampling_strategy="group_by_length", num_train_epochs=2,
        per_device_train_batch_size=8, seed=3,
    )  # fmt: skip
    model = Counter()
    trainer = TransferTrainer(
        model=model, args=TrainingArguments(**{**settings, **changes}), train_dataset=Rows(count),
        data_collator=lambda batch: batch, objective=build_objective(Supervised(), "single_label_classification"),
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return {
        "seen": model.seen,
        "steps": trainer.state.global_step,
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "weights": torch.cat([p.detach().flatten() for p in model.parameters()]).tolist(),
    }


def main() -> None:
    import os

    from hf_transfer.processes import part

    folder, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
    whole = train_counting(folder, save_strategy="steps", save_steps=7, **changes)
    rest = train_counting(folder, resume=str(folder / "checkpoint-7"), **changes)
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps({"whole": whole, "rest": rest}))
    part()


if __name__ == "__main__":
    main()
