"""Rows of two domains, a labelled source and a target with few labels or none: an immutable value, `SourceTarget`."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import UserError
from .spec import Dataset, ImageClassification, TextClassification

ALIGNMENTS = ("none", "scale", "coral")
SELECTIONS = ("auto", "source", "weighted", "target")


@dataclass(frozen=True)
class SourceTarget:
    """Labelled rows of a source domain, and rows of the target domain that the model is for.

    What is learnt is min_f L_S(f) + target_weight * L_T(f) + Omega(f): the mean loss on source rows, the mean loss on target rows whose labels are read, and the terms of the recipe's objective.

    Args:
        source (`TextClassification` or `ImageClassification`): labelled rows; its own validation and test rows are of the source too.
        target (`TextClassification` or `ImageClassification`): rows of the target; with target_labels its train_per_class reads the labels of so many rows of each class alone, and its validation says which labelled rows choose the model.
        test (`str`, `float` or `datasets.Dataset`): labelled target rows to measure on: a file, a folder, a Hub id, a split name of target's Hub data set, or the fraction to cut from target; none takes the data set's own test split, if it has one.
        target_labels (`bool`): read the labels of target rows and learn from them; a row may have none. Without it they are not looked at.
        target_weight (`float`): factor of the mean loss on labelled target rows; source rows have 1.
        weights (`KMM`, `KLIEP`, `DensityRatio` or `TrAdaBoost`): gives each source row a weight in the loss, found on recorded features.
        align (`str`): move recorded source features onto the target's before the head learns: scale (mean and deviation of each column) or coral (the whole covariance); none leaves them.
        adapt_batch_norm (`bool`): take BatchNorm statistics per domain (AdaBN); the model keeps the target's.
        selection (`str`): what chooses the best epoch and the penalty: source (validation rows of the source), weighted (the same, each with its weight), target (labelled target rows held out); auto is target where labels are read, else source.
        baseline (`bool`): train the same recipe on the source alone too, and on the labelled target rows alone, to compare.

    Raises:
        `UserError`: texts mixed with images, or a field with a value that is not allowed.
    """  # noqa: E501 - each line is one flag's help

    source: Any
    target: Any
    test: str | float | Dataset | None = None
    target_labels: bool = False
    target_weight: float = 1.0
    weights: Any = None
    align: str = "none"
    adapt_batch_norm: bool = False
    selection: str = "auto"
    baseline: bool = True

    # On the command line `--data.source a.csv` is short for `--data.source.train a.csv`. A new target has no test rows
    # until they are named.
    short: ClassVar = {"source": "source.train", "target": "target.train"}
    goes_with: ClassVar = {"target.train": "test"}

    def __post_init__(self):
        for name in ("source", "target"):
            value = getattr(self, name)
            if not isinstance(value, TextClassification | ImageClassification):
                raise UserError(
                    f"data.{name} is {value!r}; allowed: TextClassification(...), ImageClassification(...)"
                )
        if type(self.source) is not type(self.target):
            raise UserError(
                f"data.source is {type(self.source).__name__} and data.target {type(self.target).__name__}; one "
                "backbone reads both, so give texts alone or images alone"
            )
        if self.target.test is not None:
            raise UserError("data.target.test: target rows to measure on are data.test")
        self._check_own()
        for name in ("target_labels", "adapt_batch_norm", "baseline"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"data.{name} is {getattr(self, name)!r}; allowed: true or false")
        number = isinstance(self.target_weight, int | float) and not isinstance(self.target_weight, bool)
        if not number or not 0 < self.target_weight < float("inf"):
            raise UserError(f"data.target_weight is {self.target_weight!r}; allowed: a number above 0")
        for name, allowed in (("align", ALIGNMENTS), ("selection", SELECTIONS)):
            if getattr(self, name) not in allowed:
                raise UserError(f"data.{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}")
        if self.weights is not None and not hasattr(self.weights, "weighs"):
            raise UserError(f"data.weights is {self.weights!r}; allowed: KMM(), KLIEP(), DensityRatio(), TrAdaBoost()")
        self._check_labels_are_read()

    def _check_own(self) -> None:
        if isinstance(self.test, float) and not 0 < self.test < 1:
            raise UserError(
                f"data.test is {self.test}; allowed: a fraction above 0 and below 1, a file or a split name"
            )
        for name in ("source", "target"):
            asked = getattr(self, name).problem_type
            if asked not in (None, "single_label_classification"):
                raise UserError(f"data.{name}.problem_type is {asked!r}; with SourceTarget: one class per row")

    def _check_labels_are_read(self) -> None:
        if self.target_labels:
            return
        for name, value in (("train_per_class", None), ("validation", None)):
            if getattr(self.target, name) is not value:
                raise UserError(
                    f"data.target.{name} speaks of labelled target rows, and no target label is read; set "
                    "data.target_labels"
                )
        if self.selection == "target":
            raise UserError("data.selection target chooses by labelled target rows; set data.target_labels")
        if getattr(self.weights, "needs_labels", False):
            raise UserError(
                f"data.weights {type(self.weights).__name__} needs labelled target rows; set data.target_labels"
            )

    @property
    def modality(self) -> str:
        """`"text"` or `"image"`."""
        return "image" if isinstance(self.source, ImageClassification) else "text"

    @property
    def train(self) -> tuple:
        """Where the rows of both domains come from."""
        return self.source.train, self.target.train

    @property
    def split_seed(self) -> int:
        """Of the source's splits."""
        return self.source.split_seed

    @property
    def class_weights(self) -> str | None:
        """Of the source's classes."""
        return self.source.class_weights
