"""The stages of a training, as recipes of one stage each.

    strategy=(Stage(FrozenFeatures()), Stage(FullFineTune(), training=dict(learning_rate=1e-5)))

is LP-FT (Kumar et al. 2022): the head first, then everything from that head on.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple


class OneStage(NamedTuple):
    """One stage as a recipe of its own.

    Args:
        recipe (`Recipe`): with its strategy, objective and training fields.
        named (`frozenset[str]`): training fields that were given for this very stage; where there is but one stage,
            all that were given.
    """

    recipe: Any
    named: frozenset


def stages_of(recipe) -> list[OneStage]:
    """Return each stage: its strategy, its training fields over the recipe's, its objective or the recipe's."""
    if not isinstance(recipe.strategy, tuple):
        check = getattr(recipe.strategy, "check_recipe", None)
        if check is not None:
            check(recipe, last=True, own_objective=False)
        return [OneStage(recipe, frozenset(recipe.training))]
    return [
        OneStage(
            replace(
                recipe,
                strategy=stage.strategy,
                training={**recipe.training, **stage.training},
                objective=stage.objective or recipe.objective,
            ),
            frozenset(stage.training),
        )
        for stage in recipe.strategy
    ]


def with_overrides(recipe, training: Mapping[str, Any]):
    """Return the recipe with training fields that win over its own and over those of its stages; of a pipeline,
    every recipe."""
    if hasattr(recipe, "recipes"):
        return replace(recipe, recipes=tuple(with_overrides(one, training) for one in recipe.recipes))
    if isinstance(recipe.strategy, tuple):
        kept = tuple(
            replace(stage, training={name: v for name, v in stage.training.items() if name not in training})
            for stage in recipe.strategy
        )
        recipe = replace(recipe, strategy=kept)
    return replace(recipe, training={**recipe.training, **training})


def uses_cpu(recipe) -> bool:
    """Whether `training.use_cpu` is set, in some recipe of a pipeline."""
    return any(bool(one.training.get("use_cpu", False)) for one in getattr(recipe, "recipes", (recipe,)))
