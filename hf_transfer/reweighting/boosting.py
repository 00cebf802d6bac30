"""The rounds of TrAdaBoost and the vote at their end (Dai et al. 2007, algorithm 1), for any number of classes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import UserError


@dataclass
class Boosted:
    """What the rounds left behind.

    Args:
        classes (`np.ndarray`): the labels, in the order of votes.
        source_weights (`np.ndarray` of shape `(n_source,)`), target_weights (`np.ndarray` of shape `(n_target,)`):
            after the last round, as the paper has them: not scaled.
        errors (`list[float]`): epsilon_t of each round, the weighted error on the target.
        learners (`list`): of each round, from features to labels.
    """

    classes: np.ndarray
    source_weights: np.ndarray
    target_weights: np.ndarray
    errors: list[float] = field(default_factory=list)
    learners: list[Callable] = field(default_factory=list)

    def vote(self, features: np.ndarray) -> np.ndarray:
        """Return labels: each learner of the last ceil(T / 2) rounds has log(1 / beta_t) votes."""
        votes = np.zeros((len(features), len(self.classes)))
        later = len(self.learners) - math.ceil(len(self.learners) / 2)
        for learner, error in list(zip(self.learners, self.errors, strict=True))[later:]:
            weight = math.log((1 - error) / error)
            votes[np.arange(len(features)), np.searchsorted(self.classes, learner(features))] += weight
        return self.classes[votes.argmax(1)]


def boost(
    source: np.ndarray,
    source_labels: np.ndarray,
    target: np.ndarray,
    target_labels: np.ndarray,
    rounds: int,
    c: float = 1.0,
    learn: Callable | None = None,
) -> Boosted:
    """Run the rounds.

    An error of 0 would give a round all the votes, and one of 1/2 or more turns the weights around. So an error is at
    least that of half a target row, and the rounds end before the first learner that is no better than a coin.

    Args:
        rounds (`int`): T.
        c (`float`): of the logistic regressions.
        learn (`Callable`, *optional*): from features, labels and weights to a learner, itself a function from features
            to labels; by default a logistic regression.

    Raises:
        `UserError`: not one label per row, a single class, or the first learner is no better than a coin.
    """
    source_labels, target_labels = np.asarray(source_labels), np.asarray(target_labels)
    for name, rows, labels in (("source", source, source_labels), ("target", target, target_labels)):
        if labels.shape != (len(rows),):
            raise UserError(f"{name} labels have the shape {labels.shape} for {len(rows)} rows; one label per row")
    rows, labels = np.concatenate([source, target]), np.concatenate([source_labels, target_labels])
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UserError(f"all labels are {classes[0]!r}; boosting needs two classes or more")
    learn = learn or _logistic(c)
    count = len(source)
    found = Boosted(classes, np.ones(count), np.ones(len(target)))
    beta = 1 / (1 + math.sqrt(2 * math.log(count) / rounds))
    for number in range(rounds):
        weights = np.concatenate([found.source_weights, found.target_weights])
        learner = learn(rows, labels, weights / weights.sum())
        wrong = learner(rows) != labels
        share = found.target_weights / found.target_weights.sum()
        error = float(share[wrong[count:]].sum())
        if error >= 0.5:
            if number == 0:
                raise UserError(
                    f"TrAdaBoost's first learner gets {error:.0%} of the target rows wrong, no better than a coin; "
                    "more labelled target rows are needed, or another backbone"
                )
            break
        error = max(error, 0.5 / len(target))
        found.errors.append(error)
        found.learners.append(learner)
        found.source_weights = found.source_weights * np.where(wrong[:count], beta, 1.0)
        found.target_weights = found.target_weights * np.where(wrong[count:], (1 - error) / error, 1.0)
    return found


def _logistic(c: float) -> Callable:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def learn(rows, labels, weights):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        # scikit-learn adds the losses up, so that weights of mean 1 keep the meaning of `C`.
        return model.fit(rows, labels, logisticregression__sample_weight=weights * len(rows)).predict

    return learn
