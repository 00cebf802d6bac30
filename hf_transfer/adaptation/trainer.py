"""The trainer of two domains."""

import torch

from ..trainer import TransferTrainer
from .sampling import DomainBatches


class AdaptationTrainer(TransferTrainer):
    """[`TransferTrainer`] on rows of two domains, whose batches say each row's `domain`, `weight` and `share`.

    A step's loss is L_S + lambda L_T + Omega: it is divided by the number of its source rows (by their class weights,
    where there are any) over all micro-batches and ranks. Terms that compare the domains see the rows of one
    micro-batch on one rank.

    Args:
        pools (`Sequence[Sequence[int]]`): see [`DomainBatches`]; none where the batches are of the source alone.
    """

    def __init__(self, *args, pools=(), **kwargs):
        super().__init__(*args, **kwargs)
        self.pools = pools
        # What a batch says of its rows is for the loss; the model never sees it.
        self.label_names = ["labels"]

    def global_batches(self):
        if not self.pools:
            return super().global_batches()
        args, source = self.args, len(self.train_dataset.parts[0])
        return DomainBatches(
            source,
            self.pools,
            self._train_batch_size,
            ranks=args.world_size,
            rank=args.process_index,
            order=args.train_sampling_strategy,
            seed=args.seed if args.data_seed is None else args.data_seed,
            drop_last=args.dataloader_drop_last,
        )

    def weight_of(self, batch, device) -> torch.Tensor:
        return batch["share"].sum().to(device)

    def rows_of(self, inputs: dict) -> dict | None:
        if "domain" not in inputs:
            return {"weights": inputs.pop("weight")} if "weight" in inputs else None
        return {"weights": inputs.pop("weight"), "domains": inputs.pop("domain"), "shares": inputs.pop("share")}

    def evaluated(self, logits, labels, rows) -> torch.Tensor:
        if rows is None:
            return super().evaluated(logits, labels, rows)
        return self.objective.evaluate(logits, labels, rows["weights"]) / len(labels)
