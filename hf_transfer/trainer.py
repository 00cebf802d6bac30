"""A thin `transformers.Trainer`: an exact loss under accumulation and several ranks, and frozen parts that stay so."""

import torch
from transformers import Trainer

from .backbones.checkpoint import quiet
from .sampling import LengthGrouped


class TransferTrainer(Trainer):
    """`Trainer` with a row-wise objective.

    Stock `Trainer` makes gradients `gradient_accumulation_steps` times too large with BERT and its relatives
    (huggingface/transformers#47688), and a mean of means is wrong for a short last micro-batch. Here every step's loss
    is the sum over its rows divided by the sum of their weights, over all micro-batches and ranks.

    Args:
        objective (`torch.nn.Module`): `forward(logits, labels)` is a weighted sum over rows, `row_weights(labels)` the
            weights.
        frozen (`Sequence[torch.nn.Module]`): modules that stay in evaluation mode: BatchNorm statistics would move and
            dropout would act even where no parameter has a gradient.
    """

    def __init__(self, *args, objective, frozen=(), **kwargs):
        super().__init__(*args, **kwargs)
        self.objective = objective.to(self.args.device)
        self.frozen = tuple(frozen)
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = True

    def _get_train_sampler(self, train_dataset=None):
        dataset = self.train_dataset if train_dataset is None else train_dataset
        columns = getattr(dataset, "column_names", ())
        lengths = dataset["length"] if "length" in columns else getattr(dataset, "lengths", None)
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        if lengths is None:  # every row is as long as the next: pooled vectors
            return torch.utils.data.RandomSampler(dataset)
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGrouped(lengths, size, self.args.data_seed or self.args.seed)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Collect a step's micro-batches and the summed weight of their rows over all ranks."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        weight = torch.zeros((), device=device)
        for batch in batches:
            weight = weight + self.objective.row_weights(batch["labels"].to(device)).sum()
        if self.args.world_size > 1:
            weight = self.accelerator.gather(weight).sum()
        return batches, weight

    def _get_eval_sampler(self, eval_dataset):
        # In order, on every rank: the stock grouped sampler would need an `input_ids` column.
        return torch.utils.data.SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def _save_checkpoint(self, model, trial):
        with quiet():  # a bar for each file, at every epoch
            super()._save_checkpoint(model, trial)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return this micro-batch's share of the step's loss; without a step (evaluation), its mean over rows."""
        for module in self.frozen:
            module.eval()
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = self.objective(outputs.logits, labels)
        if num_items_in_batch is None:
            loss = loss / self.objective.row_weights(labels).sum()
        else:
            # DDP averages gradients over ranks, and the divisor already counts all of them.
            loss = loss / num_items_in_batch * self.args.world_size
        return (loss, outputs) if return_outputs else loss


def frozen_modules(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the largest modules that have parameters, none of which requires a gradient."""
    parameters = list(model.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return [model]
    return [found for child in model.children() for found in frozen_modules(child)]
