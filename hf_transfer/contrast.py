"""Contrastive training on pairs of labelled rows, by sentence-transformers' own trainer and losses.

The library trains the very modules of our model, in place: what it knows as a `SentenceTransformer` is one module
that hands out the pooled vectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import load_model, save_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import ContrastiveLoss, CosineSimilarityLoss
from torch import nn

from .errors import UserError
from .sampling import ORDERS
from .trainer import TransferTrainer

LOSSES = {"cosine": CosineSimilarityLoss, "contrastive": ContrastiveLoss}
SIDES = ("first", "second")
WEIGHTS = "model.safetensors"


def draw_pairs(labels: Sequence[int], per_row: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw partners for each row: `per_row` of its own class, itself excepted, and `per_row` of other classes.

    Args:
        labels (`Sequence[int]`): class ids.
        per_row (`int`): draws, with replacement.
        seed (`int`): of the draws.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: row numbers of shape `(pairs, 2)`, and 1.0 for pairs of one class, 0.0 for
        others. A row that is alone in its class has no pairs of the first kind.

    Raises:
        `UserError`: no class has two rows.
    """
    draw, labels = np.random.default_rng(seed), np.asarray(labels)
    pairs, same = [], []
    for row, label in enumerate(labels):
        kin, others = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        for candidates, value in ((kin[kin != row], 1.0), (others, 0.0)):
            if len(candidates):
                pairs += [(row, partner) for partner in draw.choice(candidates, per_row)]
                same += [value] * per_row
    if not any(same):
        raise UserError("strategy Contrastive: no class has two rows in train, so that nothing belongs together")
    return np.array(pairs, dtype=np.int64), np.array(same, dtype=np.float32)


class PooledVectors(nn.Module):
    """A model of ours as a module of sentence-transformers: tokens in, pooled vectors out."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        inputs = {key: features[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in features}
        return {"sentence_embedding": self.model.encode(**inputs).pooled}


class ContrastiveTrainer(SentenceTransformerTrainer):
    """The library's trainer with our batches: planned for all ranks at once, and a loss that is the mean over the
    pairs of the whole step, however accumulation and ranks part it.

    Args:
        plan (`Plan`): of the stage.
        model (`TransferForSequenceClassification`): trained in place.
        rows (`datasets.Dataset`): encoded, with `label` and `length`.
        collate: rows to a padded batch.
        callbacks (`list[TrainerCallback]`): what watches.
    """

    # Written for `Trainer`, and ask nothing of it that is not here too.
    get_train_dataloader = TransferTrainer.get_train_dataloader
    global_batches, batches = TransferTrainer.global_batches, TransferTrainer.batches

    def __init__(self, plan, model, rows: Dataset, collate: Callable, callbacks: list):
        args, strategy = plan.args, plan.recipe.strategy
        if args.train_sampling_strategy not in ORDERS:
            raise UserError(
                f"training.train_sampling_strategy is {args.train_sampling_strategy!r}, which strategy Contrastive "
                f"does not know; allowed: {', '.join(ORDERS)}"
            )
        drawn, same = draw_pairs(
            rows["label"][:], strategy.pairs_per_row, args.seed if args.data_seed is None else args.data_seed
        )
        lengths = np.asarray(rows["length"][:])[drawn].max(axis=1)
        pairs = Dataset.from_dict({"first": drawn[:, 0], "second": drawn[:, 1], "label": same, "length": lengths})
        embedder = SentenceTransformer(modules=[PooledVectors(model)], device=str(args.device))
        super().__init__(
            model=embedder,
            args=_arguments(args),
            train_dataset=pairs,
            loss=LOSSES[strategy.loss](embedder),
            data_collator=_PairCollator(rows, collate),
            callbacks=callbacks,
        )
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = True

    def add_model_card_callback(self, default_args_dict) -> None:
        """The card is ours; the library's would look for the base model on the Hub."""

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Collect a step's micro-batches and the number of their pairs over all ranks."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        count = torch.tensor(float(sum(len(batch["label"]) for batch in batches)), device=device)
        return batches, self.accelerator.reduce(count) if self.args.world_size > 1 else count

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        share = len(inputs["label"]) / num_items_in_batch * self.args.world_size  # DDP averages over ranks
        return super().compute_loss(model, inputs) * share

    def _save(self, output_dir=None, state_dict=None):
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(Path(output_dir) / WEIGHTS))

    def _load_from_checkpoint(self, checkpoint_path) -> None:
        load_model(self.model, str(Path(checkpoint_path) / WEIGHTS))

    def let_go(self) -> None:
        """Nothing of ours watches the model."""


class _PairCollator:
    """Row numbers to padded batches, one for each side of the pairs, under the names that the library looks for."""

    def __init__(self, rows: Dataset, collate: Callable):
        columns = [name for name in rows.column_names if name not in ("label", "length")]
        self.rows, self.collate = rows.select_columns(columns), collate

    def __call__(self, pairs: list[dict]) -> dict[str, torch.Tensor]:
        batch = {"label": torch.tensor([pair["label"] for pair in pairs])}
        for side in SIDES:
            inputs = self.collate([self.rows[pair[side]] for pair in pairs])
            batch |= {f"{side}_{name}": values for name, values in inputs.items()}
        return batch


def _arguments(args) -> SentenceTransformerTrainingArguments:
    """Return the library's kind of arguments with the same values; there is nothing to validate on."""
    values = {one.name: getattr(args, one.name) for one in fields(args) if one.init}
    values |= dict(eval_strategy="no", load_best_model_at_end=False, metric_for_best_model=None)
    return SentenceTransformerTrainingArguments(**values)
