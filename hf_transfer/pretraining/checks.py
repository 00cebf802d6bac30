"""What goes together in a recipe that pretrains; told when the recipe is written, not when it runs."""

from ..data.raw import RawImages, RawText
from ..errors import UserError
from ..objectives import Supervised
from .heads import MaskedLMHead, ProjectionHead

HEAD_OF = {RawText: MaskedLMHead, RawImages: ProjectionHead}


def pretrains(recipe) -> bool:
    """Whether a recipe trains on rows without labels."""
    return isinstance(recipe.data, RawText | RawImages)


def check_pretraining(recipe) -> None:
    """Refuse what does not go together.

    Raises:
        `UserError`: labelled rows under a head that reads none, or the reverse; or a strategy, an objective or a part
            of the backbone that means nothing in pretraining.
    """
    data, head = type(recipe.data).__name__, type(recipe.head).__name__
    if not pretrains(recipe):
        if isinstance(recipe.head, MaskedLMHead | ProjectionHead):
            raw = next(kind.__name__ for kind, one in HEAD_OF.items() if isinstance(recipe.head, one))
            raise UserError(f"recipe: a {head} learns from rows without labels; data is {data}, allowed: {raw}")
        return
    wanted = HEAD_OF[type(recipe.data)]
    if not isinstance(recipe.head, wanted):
        raise UserError(f"recipe: {data} has no labels for a {head} to learn; allowed as head: {wanted.__name__}")
    if isinstance(recipe.strategy, tuple):
        raise UserError(
            "recipe: strategy has several stages; allowed in pretraining: one strategy (a Pipeline has more)"
        )
    if recipe.strategy.frozen_depth(1) >= 1:
        strategy = type(recipe.strategy).__name__
        raise UserError(
            f"recipe: strategy {strategy} leaves the backbone as it is; pretraining trains it: FullFineTune"
        )
    if recipe.objective != Supervised() or recipe.metrics is not None:
        field = "metrics" if recipe.metrics is not None else "objective"
        raise UserError(f"recipe: {field} is set; in pretraining the head says what is learnt: leave {field} out")
    backbone = recipe.backbone
    for field, plain in (("layer", None), ("embeddings_only", False)):
        if getattr(backbone, field, plain) != plain:
            raise UserError(
                f"recipe: backbone.{field} cuts the backbone; pretraining trains a whole one: leave it out"
            )
