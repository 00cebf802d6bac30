"""Which of several models is better."""

from collections.abc import Mapping

from .metrics import HEADLINE


def rank(scores: Mapping[str, float], problem_type: str) -> tuple[float, float]:
    """Return what orders models, the better the greater: the headline metric, where that is equal the loss.

    Args:
        scores (`Mapping[str, float]`): of one split, as [`scoring.compute_metrics`] returns them.
        problem_type (`str`): a key of `HEADLINE`.
    """
    name, higher_is_better = HEADLINE[problem_type]
    return (scores[name] if higher_is_better else -scores[name], -scores["loss"])
