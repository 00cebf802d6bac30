"""A training whose objective has parameters of its own; as a script, on the ranks that started it.

torchrun --nproc_per_node 2 tests/helpers/joining.py FOLDER '{"per_device_train_batch_size": 4}'
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from counting import Rows
from torch import nn
from torch.nn import functional as F
from transformers import TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_transfer import Supervised
from hf_transfer.objectives.base import Objective
from hf_transfer.objectives.step_loss import build_objective
from hf_transfer.objectives.terms import Term
from hf_transfer.trainer import TransferTrainer


@dataclass(frozen=True)
class Guess(Objective):
    """Tells from the features whether a row's second number is positive, as a domain discriminator would."""

    def build(self, context):
        return GuessTerm()


class GuessTerm(Term):
    name, reads_features = "guess", True

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Linear(4, 2)
        self.register_buffer("rows", torch.zeros(()))

    def forward(self, seen):
        self.rows += len(seen.logits)
        target = (seen.inputs["values"][:, 1] > 0).long()
        losses = F.cross_entropy(self.layer(seen.features), target, reduction="none")
        return (losses * seen.weights).sum()


class Net(nn.Module):
    """Two layers, a dropout between them."""

    def __init__(self, dropout: float):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.drop, self.last = nn.Linear(3, 4), nn.Dropout(dropout), nn.Linear(4, 2)

    def forward(self, values, row):
        return SequenceClassifierOutput(logits=self.last(self.drop(self.first(values).tanh())))


def join(folder, objective=None, dropout: float = 0.0, strategy=None, **changes) -> TransferTrainer:
    """Build a trainer on 50 rows."""
    settings = dict(
        output_dir=str(folder), report_to="none", disable_tqdm=True, optim="adamw_torch", learning_rate=0.1,
        remove_unused_columns=False, label_names=["labels"], dataloader_pin_memory=False, save_strategy="no",
        logging_steps=1, train_sampling_strategy="random", num_train_epochs=2, per_device_train_batch_size=8, seed=3,
    )  # fmt: skip
    objective = objective or Supervised() + 0.5 * Guess()
    model = Net(dropout)
    return TransferTrainer(
        model=model, args=TrainingArguments(**{**settings, **changes}), train_dataset=Rows(50), eval_dataset=Rows(20),
        data_collator=lambda batch: batch, strategy=strategy,
        depths={name: 0 if "first" in name else 1 for name, _ in model.named_parameters()} if strategy else None,
        objective=build_objective(objective, "single_label_classification"),
    )  # fmt: skip


def weights(trainer) -> dict[str, list[float]]:
    return {name: tensor.flatten().tolist() for name, tensor in trainer.joint.state_dict().items()}


def main() -> None:
    folder, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
    whole = join(folder, save_strategy="steps", save_steps=5, **changes)
    whole.train()
    rest = join(folder, **changes)
    rest.train(resume_from_checkpoint=str(folder / "checkpoint-5"))
    (folder / f"rank{os.environ['RANK']}.json").write_text(
        json.dumps({"whole": weights(whole), "rest": weights(rest)})
    )


if __name__ == "__main__":
    main()
