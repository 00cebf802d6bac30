"""Boosting for transfer."""

from dataclasses import dataclass

from ..errors import UserError
from .weights import Weights


@dataclass(frozen=True)
class TrAdaBoost:
    """TrAdaBoost (Dai et al. 2007): rounds of boosting in which target rows that are got wrong count more, as in
    AdaBoost, and source rows that are got wrong count less: they do not fit the target. Needs labelled target rows.

    Args:
        rounds (`int`): T.
        c (`float`): inverse strength of the L2 penalty of the logistic regressions, on standardised features.
    """

    rounds: int = 20
    c: float = 1.0
    weighs = True
    needs_labels = True

    def __post_init__(self):
        if self.rounds < 1:
            raise UserError(f"TrAdaBoost.rounds is {self.rounds}; it must be at least 1")
        if not 0 < self.c < float("inf"):
            raise UserError(f"TrAdaBoost.c is {self.c}; allowed: a number above 0")

    def fit(self, source, target, source_labels=None, target_labels=None) -> Weights:
        """Weigh source rows by how well they go together with the labelled target rows.

        Args:
            source (`np.ndarray` of shape `(n_source, width)`), target (`np.ndarray` of shape `(n_target, width)`):
                features from the same backbone.
            source_labels, target_labels (`np.ndarray` of integers): of these very rows.

        Returns:
            [`Weights`]: those after the last round; `about` holds the weighted `errors` on the target, one per round.

        Raises:
            `UserError`: labels are missing.
        """
        from .boosting import boost
        from .features import checked
        from .weights import normalised

        if source_labels is None or target_labels is None:
            raise UserError("TrAdaBoost needs labelled target rows; without them use KMM, KLIEP or DensityRatio")
        source, target = checked(source, target)
        found = boost(source, source_labels, target, target_labels, self.rounds, self.c)
        return normalised(found.source_weights, {"errors": found.errors, "rounds": len(found.errors)})
