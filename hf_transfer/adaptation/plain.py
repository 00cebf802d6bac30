"""A recipe of two domains as it is without what connects them."""

from dataclasses import replace

from ..objectives import Supervised, WeightedSum
from ..objectives.domain.base import DomainObjective


def plain(recipe, data):
    """Return the recipe on other data, without terms between domains.

    Args:
        data: what takes the place of its [`SourceTarget`].
    """
    strategy = recipe.strategy
    if isinstance(strategy, tuple):
        strategy = tuple(
            replace(stage, objective=stage.objective and without_domain_terms(stage.objective)) for stage in strategy
        )
    return replace(recipe, data=data, strategy=strategy, objective=without_domain_terms(recipe.objective))


def without_domain_terms(objective):
    """Return the objective without terms between domains."""
    if not isinstance(objective, WeightedSum):
        return objective
    kept = [
        (one, weight)
        for one, weight in zip(objective.objectives, objective.weights, strict=True)
        if not isinstance(one, DomainObjective)
    ]
    if kept == [(Supervised(), 1.0)]:
        return Supervised()
    return WeightedSum(tuple(one for one, _ in kept), tuple(weight for _, weight in kept))
