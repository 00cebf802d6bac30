"""A thin `transformers.Trainer`: an exact loss under accumulation and several ranks, and frozen parts that stay so."""

from functools import cached_property, partial

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import Trainer

from .backbones.checkpoint import quiet
from .cpu.swap import FastRandomness
from .errors import UserError
from .groups import group_lines, parameter_groups
from .joint import Joint
from .length_chunks import LengthChunks
from .sampling import ORDERS, GlobalBatches
from .schedules import slanted_triangular
from .strategies import FrozenFeatures
from .unfreezing import Unfreezing
from .workers import start_worker


class TransferTrainer(Trainer):
    """`Trainer` with a row-wise objective.

    Stock `Trainer` makes gradients `gradient_accumulation_steps` times too large with BERT and its relatives
    (huggingface/transformers#47688), and a mean of means is wrong for a short last micro-batch. Here every step's loss
    is the sum over its rows divided by the sum of their weights, over all micro-batches and ranks.

    Modules that have parameters but none that requires a gradient stay in evaluation mode: their BatchNorm statistics
    would move and their dropout would act even so.

    An objective with parameters of its own is trained as one module with the model; see [`Joint`].

    On a CPU, dropout and attention with dropout take less time until [`let_go`]; see [`FastRandomness`].

    Args:
        model (`nn.Module`): what is trained.
        objective (`StepLoss`): sums over rows.
        strategy (`Strategy`, *optional*), depths (`Mapping[str, int]`, *optional*): how fast each depth learns, and
            from when; without them everything is the head, which learns alike.
    """

    batches = GlobalBatches  # which rows make up each batch

    def __init__(self, model, *args, objective, strategy=None, depths=None, **kwargs):
        self.joint = Joint(model, objective)
        super().__init__(self.joint if self.joint.learns else model, *args, **kwargs)
        self.objective = objective.to(self.args.device)
        self.strategy = strategy
        self.depths = self.joint.depths(depths) if self.joint.learns and depths is not None else depths
        self.parts = Parts()
        # What watches single modules, and a compiled graph, need the batch as it is.
        self.chunks = None if objective.watches or self.args.torch_compile else LengthChunks(model)
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = True
        self.fast = FastRandomness(self.model) if self.args.device.type == "cpu" else None
        self.find_frozen()
        later = self._later()
        if later:
            self.add_callback(Unfreezing(later, self.find_frozen))

    def train(self, *args, **kwargs):
        outcome = super().train(*args, **kwargs)
        self._share_buffers()
        return outcome

    def evaluate(self, *args, **kwargs):
        self._share_buffers()
        return super().evaluate(*args, **kwargs)

    def _share_buffers(self) -> None:
        """Give every rank the first one's running statistics. DDP does so before each step, and not after the last:
        the ranks would evaluate, and go on, with statistics of their own."""
        if self.args.world_size > 1:
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, 0)

    def let_go(self) -> None:
        """Take off the model what watched it, stood in for a part of it, or made it faster."""
        self.joint.let_go()
        if self.chunks is not None:
            self.chunks.remove()
        if self.fast is not None:
            self.fast.let_go()

    def find_frozen(self) -> None:
        """Note which modules stand still from now on."""
        self.frozen = tuple(frozen_modules(self.model))

    def _later(self) -> dict[str, int]:
        """Return, for what ever moves, the epoch it starts in; empty where everything moves from the first one on."""
        if self.strategy is None:
            return {}
        top = max(self.depths.values())
        moving = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        starts = {name: self.strategy.from_epoch(self.depths[name], top) for name in moving}
        return starts if any(starts.values()) else {}

    @cached_property
    def groups(self) -> list[dict]:
        """What learns how fast, and from when; see [`parameter_groups`]."""
        names = [name for name, _ in self.model.named_parameters()]
        strategy, depths = self.strategy or FrozenFeatures(), self.depths or dict.fromkeys(names, 0)
        decayed = set(self.get_decay_parameter_names(self.model))
        return parameter_groups(self.model, depths, strategy, self.args.learning_rate, self.args.weight_decay, decayed)

    def group_lines(self) -> list[str]:
        """Return the table of [`groups`] as lines of text, and how many of their parameters are the objective's."""
        lines = group_lines(self.groups, -(-len(self.get_train_dataloader()) // self.args.gradient_accumulation_steps))
        own = sum(parameter.numel() for parameter in self.objective.parameters())
        return [*lines, f"  of these {own:,} are the objective's, which trains beside the model"] if own else lines

    def create_optimizer(self, model=None):
        alike = len({(group["lr"], group["from_epoch"]) for group in self.groups}) <= 1
        if not alike and self.optimizer is None:
            cls, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            if not isinstance(cls, type) or {"params", "model", "optimizer_dict"} & set(settings):
                raise UserError(
                    f"training.optim {self.args.optim} chooses its own parameters, but "
                    f"{type(self.strategy).__name__} gives each depth a rate or a start; take another optim"
                )
            self.optimizer_cls_and_kwargs = (cls, {**settings, "params": self.groups})
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        if self.lr_scheduler is None and getattr(self.strategy, "slanted_triangular", False):
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, partial(slanted_triangular, total=num_training_steps)
            )
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def get_train_dataloader(self) -> DataLoader:
        """Return batches that are planned for all ranks at once; see [`GlobalBatches`]."""
        args, dataset = self.args, self.train_dataset
        if args.train_sampling_strategy not in ORDERS:  # "batch_rebalance": transformers' own, aware of ranks too
            return super().get_train_dataloader()
        loader = DataLoader(
            dataset,
            batch_sampler=self.global_batches(),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            prefetch_factor=args.dataloader_prefetch_factor,
            in_order=args.dataloader_in_order,
            worker_init_fn=partial(start_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
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

    def global_batches(self) -> torch.utils.data.Sampler:
        """Return which rows make up this rank's batches."""
        args, dataset = self.args, self.train_dataset
        return self.batches(
            len(dataset),
            self._train_batch_size,
            ranks=args.world_size,
            rank=args.process_index,
            order=args.train_sampling_strategy,
            lengths=lengths_of(dataset),
            seed=args.seed if args.data_seed is None else args.data_seed,
            drop_last=args.dataloader_drop_last,
        )

    def weight_of(self, batch, device) -> torch.Tensor:
        """Return the summed weight of a micro-batch's rows."""
        return self.objective.row_weights(batch["labels"].to(device)).sum()

    def rows_of(self, inputs: dict) -> dict | None:
        """Take out of a batch what is known of its rows beside their labels; see [`Joint.parts`]."""
        return None

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Collect a step's micro-batches and the summed weight of their rows over all ranks."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        weight = torch.zeros((), device=device)
        for batch in batches:
            weight = weight + self.weight_of(batch, device)
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

    def _save(self, output_dir=None, state_dict=None):
        if self.joint.learns and state_dict is None:
            # `save_pretrained` packs what lies channels last; for any other module safetensors refuses it.
            state_dict = {name: tensor.contiguous() for name, tensor in self.joint.state_dict().items()}
        super()._save(output_dir, state_dict)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return this micro-batch's share of the step's loss; without a step (evaluation), its mean over rows."""
        for module in self.frozen:
            module.eval()
        inputs = dict(inputs)
        labels, rows = inputs.pop("labels"), self.rows_of(inputs)
        if num_items_in_batch is None:
            outputs = model(**inputs)
            loss = self.evaluated(outputs.logits, labels, rows)
            return (loss, outputs) if return_outputs else loss
        progress = self.state.global_step / max(1, self.state.max_steps)
        if self.joint.learns:
            outputs, parts = model(**inputs, labels=labels, progress=progress, rows=rows)
        else:
            outputs = model(**inputs)
            parts = self.joint.parts(inputs, outputs, labels, progress, rows)
        self.parts.add(parts, num_items_in_batch, self.state.global_step)
        # DDP averages gradients over ranks, and the divisor already counts all of them.
        loss = sum(parts.values()) / num_items_in_batch * self.args.world_size
        return (loss, outputs) if return_outputs else loss

    def evaluated(self, logits: torch.Tensor, labels: torch.Tensor, rows: dict | None) -> torch.Tensor:
        """Return the mean loss of a batch in evaluation."""
        return self.objective.evaluate(logits, labels) / self.objective.row_weights(labels).sum()

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        """Add the objective's parts, each a mean over the steps since the last log, to what is logged in training."""
        if "loss" in logs:
            logs = {**logs, **self.parts.take(self.state.global_step, self.accelerator)}
        super().log(logs, *args, **kwargs)


class Parts:
    """The parts of an objective, added up on the device until they are logged."""

    def __init__(self):
        self.sums: dict[str, torch.Tensor] = {}
        self.since = 0

    def add(self, parts: dict[str, torch.Tensor], items: torch.Tensor, step: int) -> None:
        """Add a micro-batch of the step after `step` steps, which has rows of weight `items` in all."""
        if len(parts) == 1:  # the loss itself
            return
        if not self.sums:
            self.since = step
        for name, value in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().float() / items

    def take(self, step: int, accelerator) -> dict[str, float]:
        """Return each part's mean over the steps up to `step`, and start anew."""
        totals = {
            name: accelerator.reduce(value) if accelerator.num_processes > 1 else value
            for name, value in self.sums.items()
        }
        self.sums = {}
        return {f"loss_{name}": total.item() / (step - self.since) for name, total in totals.items()}


def lengths_of(dataset):
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
