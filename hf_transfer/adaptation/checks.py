"""What goes together in a recipe of two domains; told when the recipe is written, not when it runs."""

from ..data.source_target import SourceTarget
from ..errors import UserError
from ..heads import LinearHead, NativeHead
from ..objectives.domain.base import DomainObjective


def adapts(recipe) -> bool:
    """Whether a recipe learns from rows of two domains."""
    return isinstance(recipe.data, SourceTarget)


def check_adaptation(recipe) -> None:
    """Refuse what does not go together.

    Raises:
        `UserError`: a term between domains without two of them; or what adaptation has no place for.
    """
    terms = [one for one in recipe.objectives if isinstance(one, DomainObjective)]
    if not adapts(recipe):
        if terms:
            raise UserError(
                f"recipe: objective {type(terms[0]).__name__} needs rows of two domains; data is "
                f"{type(recipe.data).__name__}, allowed: SourceTarget"
            )
        return
    if hasattr(recipe.backbone, "parts"):
        raise UserError("recipe: SourceTarget with a FusedBackbone is not supported; give one backbone")
    strategies = recipe.strategies
    if any(type(one).__name__ == "Contrastive" for one in strategies):
        raise UserError("recipe: strategy Contrastive makes pairs of labelled rows of one domain; leave it out")
    frozen = all(one.frozen_depth(1) >= 1 for one in strategies)
    _check_features(recipe, terms, frozen)
    if recipe.data.adapt_batch_norm and recipe.data.modality != "image":
        raise UserError("data.adapt_batch_norm: text encoders have no BatchNorm; leave it out")
    if recipe.data.selection == "weighted" and recipe.data.weights is None:
        raise UserError("data.selection weighted needs data.weights, such as KMM()")


def _check_features(recipe, terms, frozen: bool) -> None:
    if recipe.data.align != "none":
        if not frozen or isinstance(recipe.strategy, tuple):
            raise UserError(
                f"data.align {recipe.data.align} moves recorded features, and this strategy moves the backbone; "
                "use FrozenFeatures, or as objective CORAL()"
            )
        if getattr(recipe.head, "reads", None) != "pooled":
            raise UserError(
                f"data.align {recipe.data.align} moves pooled features, and {type(recipe.head).__name__} does not "
                "read those; use LinearHead or MLPHead"
            )
    moving = [one for one in terms if one.moves_features]
    if moving and frozen and isinstance(recipe.head, LinearHead | NativeHead):
        name = type(moving[0]).__name__
        raise UserError(
            f"recipe: objective {name} moves features, and under FrozenFeatures with {type(recipe.head).__name__} "
            "there are none that move; use MLPHead, whose layers do, or FullFineTune"
        )
