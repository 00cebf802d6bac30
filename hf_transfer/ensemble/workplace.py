"""One loaded model that takes on average after average, and says how good each is."""

from collections.abc import Sequence
from functools import cached_property

from ..batch_norm import TrainBatches, disagreeing_layers, renew_statistics
from ..predictor import load
from .members import Member
from .rows import Rows, read_rows


class Workplace:
    """Where averages are tried.

    Args:
        members (`Sequence[Member]`): alike.
        reference (`Member`): the one of them that lends its model, data and processor.
        second_test (*optional*): further labelled rows to measure on.
        anywhere (`bool`): see [`read_rows`].
    """

    def __init__(self, members: Sequence[Member], reference: Member, second_test=None, anywhere: bool = False):
        self.predictor = load(reference.folder, reference.trusted)
        self.splits, self.notes = read_rows(self.predictor, members, reference, anywhere)
        self.rows = Rows(self.predictor, self.splits, second_test)
        self.renewed: dict | None = None

    @cached_property
    def train_batches(self) -> TrainBatches:
        return TrainBatches(self.predictor.backbone, self.predictor.processor, self.splits.train)

    def put(self, state, member_state) -> None:
        """Give the model the weights `state`; `renewed` then says what became of its BatchNorm.

        Args:
            state (`Mapping[str, torch.Tensor]`): an average, or `member_state` itself, in which nothing is renewed.
            member_state (`Mapping[str, torch.Tensor]`): a member that took part in it.
        """
        model = self.predictor.model
        model.load_state_dict(state)
        self.renewed = None
        layers = disagreeing_layers(model, member_state, state)
        if layers:
            renew_statistics(model, layers, self.train_batches)
            self.renewed = {"layers": len(layers), "rows": self.train_batches.rows}

    def scores(self, *splits: str) -> dict[str, dict[str, float]]:
        """Measure the model on some splits, by default on all."""
        return {split: self.rows.scores(split) for split in splits or self.rows.names}

    @property
    def problem_type(self) -> str:
        return self.splits.labels.problem_type
