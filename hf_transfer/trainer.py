"""A thin `transformers.Trainer`: an exact loss under accumulation and several ranks, and frozen parts that stay so."""

from functools import cached_property, partial

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_utils import seed_worker

from .backbones.checkpoint import quiet
from .sampling import ORDERS, GlobalBatches


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

    def get_train_dataloader(self) -> DataLoader:
        """Return batches that are planned for all ranks at once; see [`GlobalBatches`]."""
        args, dataset = self.args, self.train_dataset
        if args.train_sampling_strategy not in ORDERS:  # "batch_rebalance": transformers' own, aware of ranks too
            return super().get_train_dataloader()
        batches = GlobalBatches(
            len(dataset),
            self._train_batch_size,
            ranks=args.world_size,
            rank=args.process_index,
            order=args.train_sampling_strategy,
            lengths=_lengths(dataset),
            seed=args.seed if args.data_seed is None else args.data_seed,
            drop_last=args.dataloader_drop_last,
        )
        loader = DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            prefetch_factor=args.dataloader_prefetch_factor,
            in_order=args.dataloader_in_order,
            worker_init_fn=partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
        )
        # `accelerator.prepare` would share the batches out a second time. As one process it moves them to the device
        # and passes `set_epoch` on, in a resumed epoch too.
        return prepare_data_loader(
            loader,
            device=self.accelerator.device,
            num_processes=1,
            process_index=0,
            put_on_device=self.accelerator.device_placement,
            non_blocking=self.accelerator.non_blocking,
        )

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Collect a step's micro-batches and the summed weight of their rows over all ranks."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        weight = torch.zeros((), device=device)
        for batch in batches:
            weight = weight + self.objective.row_weights(batch["labels"].to(device)).sum()
        if self.args.world_size > 1:
            weight = self.accelerator.reduce(weight)
        return batches, weight

    def _get_eval_sampler(self, eval_dataset):
        # In order, on every rank: the stock grouped sampler would need an `input_ids` column.
        return torch.utils.data.SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def floating_point_ops(self, inputs) -> int:
        """The stock estimate; stock `Trainer` counts the parameters anew at every step."""
        tokens = inputs.get(getattr(self.model, "main_input_name", "input_ids"))
        return 0 if tokens is None else 6 * tokens.numel() * self._parameters_without_embeddings

    @cached_property
    def _parameters_without_embeddings(self) -> int:
        count = getattr(self.model, "num_parameters", None)
        return 0 if count is None else count(exclude_embeddings=True)

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


def _lengths(dataset):
    """Return the tokens in each row, or `None` where rows have no length of their own: images, pooled vectors."""
    if "length" in getattr(dataset, "column_names", ()):
        return dataset["length"][:]  # the whole column at once: iterating over it is fifty times slower
    return getattr(dataset, "lengths", None)


def frozen_modules(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the largest modules that have parameters, none of which requires a gradient."""
    parameters = list(model.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return [model]
    return [found for child in model.children() for found in frozen_modules(child)]
