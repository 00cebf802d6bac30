"""The trainer of a mixture: batches of one task each, and an evaluation of every task."""

from collections.abc import Callable, Mapping

from ..trainer import TransferTrainer, lengths_of
from .sampling import MixtureBatches
from .tasks import MEAN


class MixtureTrainer(TransferTrainer):
    """[`TransferTrainer`] on several tasks.

    Args:
        mixture (`TaskMixture`): how the tasks are drawn.
        measure (`Mapping[str, Callable]`): of each task, what turns its predictions into metrics.
        scores (`Mapping[str, str]`): of each task, the metric that the mean is of.
    """

    def __init__(self, *args, mixture, measure: Mapping[str, Callable], scores: Mapping[str, str], **kwargs):
        super().__init__(*args, **kwargs)
        self.mixture, self.measure, self.scores = mixture, measure, scores

    def global_batches(self) -> MixtureBatches:
        args, parts = self.args, self.train_dataset.parts
        return MixtureBatches(
            {part.task: len(part) for part in parts},
            self._train_batch_size,
            args.gradient_accumulation_steps,
            self.mixture.sampling,
            self.mixture.temperature,
            lengths={part.task: lengths_of(part.rows) for part in parts},
            ranks=args.world_size,
            rank=args.process_index,
            order=args.train_sampling_strategy,
            seed=args.seed if args.data_seed is None else args.data_seed,
            drop_last=args.dataloader_drop_last,
        )

    def get_decay_parameter_names(self, model) -> list[str]:
        # Decay would pull the learnt weights of the tasks back to 1.
        return [name for name in super().get_decay_parameter_names(model) if "log_variances" not in name]

    def weight_of(self, batch, device):
        self.objective.turn_to(batch["task"])
        return super().weight_of(batch, device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self.objective.turn_to(inputs["task"])
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Measure every task: `eval_TASK_METRIC`, and over the tasks the means of their scores and of their losses.

        A score that is undefined, such as the correlation of a constant prediction, counts as 0.
        """
        found = {}
        for task in self.eval_dataset:
            self.compute_metrics = self.measure[task]
            prefix = f"{metric_key_prefix}_{task}"
            loop = self.evaluation_loop(
                self.get_eval_dataloader(task), "Evaluation", ignore_keys=ignore_keys, metric_key_prefix=prefix
            )
            found |= loop.metrics
        count = len(self.scores)
        scores = [found.get(f"{metric_key_prefix}_{task}_{name}", 0.0) for task, name in self.scores.items()]
        found[f"{metric_key_prefix}_{MEAN}"] = sum(scores) / count
        found[f"{metric_key_prefix}_loss"] = (
            sum(found[f"{metric_key_prefix}_{task}_loss"] for task in self.scores) / count
        )
        self.log(found)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found
