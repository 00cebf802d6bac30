"""The trainer of pretraining: rows that look different in every epoch, and a validation loss that is exact."""

import torch
from torch.utils.data import DataLoader

from ..backbones.checkpoint import quiet
from ..sampling import GlobalBatches
from ..trainer import TransferTrainer


class EpochBatches(GlobalBatches):
    """[`GlobalBatches`] of numbers `epoch * rows + row`: the data set learns the epoch from them, in worker processes
    and in a resumed run too."""

    def __iter__(self):
        for batch in super().__iter__():
            yield [self.epoch * self.rows + row for row in batch]


class PretrainingTrainer(TransferTrainer):
    """[`TransferTrainer`] on a [`Task`]. Stock `Trainer` averages the validation losses of batches by their rows; here
    the sum over all masked tokens is divided by their number, over all ranks.

    Args:
        figures (`Callable[[float], dict]`): see [`Task`].
    """

    batches = EpochBatches

    def __init__(self, *args, figures, **kwargs):
        self.figures = figures
        super().__init__(*args, **kwargs)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        args = self.args
        sums = loss_sums(
            self.model, self.objective, self.eval_dataset, self.data_collator, args.per_device_eval_batch_size,
            args.device, args.world_size, args.process_index,
        )  # fmt: skip
        if args.world_size > 1:
            sums = self.accelerator.reduce(sums)
        metrics = {f"eval_{name}": value for name, value in self.figures((sums[0] / sums[1]).item()).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(args, self.state, self.control, metrics)
        return metrics

    def _load_best_model(self):
        with quiet():  # it would miss the output matrix, which is the input embeddings'
            super()._load_best_model()

    def _load_from_checkpoint(self, *args, **kwargs):
        with quiet():
            super()._load_from_checkpoint(*args, **kwargs)


@torch.no_grad()
def loss_sums(model, objective, dataset, collate, batch_size, device, ranks: int = 1, rank: int = 0) -> torch.Tensor:
    """Return the loss of `dataset` summed over this rank's share, and what it is to be divided by."""
    loader = DataLoader(
        dataset, batch_sampler=GlobalBatches(len(dataset), batch_size, ranks, rank, "sequential"), collate_fn=collate
    )
    training = model.training
    model.eval()
    objective.eval()  # contrasts reach over ranks in training alone: one rank may measure while others wait
    sums = torch.zeros(2, dtype=torch.float64)
    for batch in loader:
        batch = {name: value.to(device) for name, value in batch.items()}
        labels = batch.pop("labels")
        loss = objective.evaluate(model(**batch).logits, labels)
        sums += torch.stack([loss.double(), objective.row_weights(labels).sum().double()]).cpu()
    model.train(training)
    objective.train(training)
    return sums.to(device)
