"""The rows an average is judged by: read once, encoded once, and seen by no member in training."""

from collections.abc import Sequence
from pathlib import Path

from ..data import labels_of, load_data, load_labelled
from ..errors import UserError
from ..inference import predict_logits
from ..inputs import encode
from ..scoring import compute_metrics
from .members import Member


class Rows:
    """Labelled rows by the name of their split.

    Args:
        predictor (`Predictor`): encodes rows; its model is the one that is measured.
        splits (`Splits`): the rows of the members' recipe.
        second_test (`str`, `datasets.Dataset`, *optional*): further labelled rows, such as from another source.
    """

    def __init__(self, predictor, splits, second_test=None):
        self.predictor, self.splits = predictor, splits
        parts = {"validation": splits.validation, "test": splits.test}
        if second_test is not None:
            data = predictor.recipe.data
            parts["second_test"] = load_labelled(data, second_test, predictor.labels, predictor.columns)
        self.names = tuple(parts)
        self._labels = {name: labels_of(part) for name, part in parts.items()}
        self._encoded = {
            name: encode(predictor.backbone, predictor.processor, part.remove_columns("label"))
            for name, part in parts.items()
        }

    def scores(self, split: str) -> dict[str, float]:
        """Measure the predictor's model as it is now."""
        predictor = self.predictor
        logits = predict_logits(predictor.model, self._encoded[split], predictor.collate, f"evaluate, {split}")
        return compute_metrics(logits, self._labels[split], self.splits.labels.problem_type, predictor.recipe.metrics)


def read_rows(predictor, members: Sequence[Member], reference: Member, anywhere: bool = False):
    """Read the rows of a member's recipe.

    Every member must have been held back from the same validation and test rows: the rows of a cut with another seed
    would be known to it, and every figure too good.

    Args:
        predictor (`Predictor`): of `reference`.
        members (`Sequence[Member]`): all that are averaged.
        reference (`Member`): the one whose rows are read.
        anywhere (`bool`): the others may come from another data set, of which nothing is known here.

    Returns:
        `tuple[Splits, list[str]]`: the rows, and what has to be told of them.

    Raises:
        `UserError`: as `load_data`; rows changed since a member was trained; members with other held-out rows.
    """
    notes: list[str] = []
    splits = load_data(reference.recipe.data, label_order=predictor.labels.names)
    if tuple(splits.labels.names) != tuple(predictor.labels.names):
        raise UserError(f"the data of {reference.name} now have other labels than when it was trained")
    for member in members:
        data, own = member.recipe.data, splits
        if data != reference.recipe.data:
            if anywhere and not _same_source(data.train, reference.recipe.data.train):
                notes.append(f"{member.name} was trained on other data; whether it knows rows of these is not checked")
                continue
            own = load_data(data, label_order=predictor.labels.names, progress=False)
        _check_unchanged(member, own)
        for split in ("validation", "test"):
            if own.contents[split] != splits.contents[split]:
                raise UserError(
                    f"{member.name} has other {split} rows than {reference.name}, which it may have been trained on; "
                    "average runs of the same data and split_seed"
                )
    return splits, notes


def _same_source(one, other) -> bool:
    return one == other or (Path(one).exists() and Path(one).resolve() == Path(other).resolve())


def _check_unchanged(member: Member, splits) -> None:
    then = member.result.data.get("data") or {}
    for split in ("train", "validation", "test"):
        now = len(getattr(splits, split))
        if then.get(split, now) != now:
            raise UserError(f"{member.name} was trained when {split} had {then[split]} rows; now there are {now}")
