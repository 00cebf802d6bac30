"""The encoder learns, from pairs of rows, which of them belong together; a stage before the head is fitted."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import UserError
from .base import Strategy

LOSSES = ("cosine", "contrastive")


@dataclass(frozen=True)
class Contrastive(Strategy):
    """Contrastive fine-tuning of a text encoder on few labelled rows, the first half of SetFit (Tunstall et al. 2022),
    through the sentence-transformers library.

    Each row is paired with rows of its own class, whose pooled vectors are drawn together, and with as many rows of
    other classes, whose vectors are pushed apart. From a few labels come many pairs. The head takes no part; a stage
    behind this one fits it:

        strategy=(Stage(Contrastive()), Stage(FrozenFeatures()))

    There is no validation while pairs are learnt: the stage ends after its epochs or steps. Training fields that are
    not given are a learning rate of 2e-5 after a warm-up over a tenth of the steps, 16 pairs to a batch, one epoch.

    Args:
        pairs_per_row (`int`): partners of its own class drawn for each row, with replacement, and as many of other
            classes.
        loss (`str`): `"cosine"` is the squared difference between the cosine and 1 or 0 (SetFit's); `"contrastive"`
            is that of Hadsell et al. 2006, which leaves alone what is further apart than a margin.
    """

    pairs_per_row: int = 20
    loss: str = "cosine"
    training_defaults: ClassVar[dict[str, Any]] = dict(
        learning_rate=2e-5, num_train_epochs=1, per_device_train_batch_size=16, warmup_steps=0.1
    )

    def __post_init__(self):
        pairs = self.pairs_per_row
        if not isinstance(pairs, int) or isinstance(pairs, bool) or pairs < 1:
            raise UserError(f"strategy.pairs_per_row is {pairs!r}; it must be at least 1")
        if self.loss not in LOSSES:
            raise UserError(f"strategy.loss is {self.loss!r}; allowed: {', '.join(LOSSES)}")

    def check_recipe(self, recipe, last: bool | None, own_objective: bool) -> None:
        """Refuse a recipe that this strategy cannot be a stage of.

        Args:
            recipe (`Recipe`): of which it is a stage.
            last (`bool`, *optional*): whether no stage follows; none where that is not known yet.
            own_objective (`bool`): whether the stage has an objective of its own.
        """
        if recipe.backbone.modality != "text":
            raise UserError(
                "strategy Contrastive trains text encoders, through sentence-transformers; for few labelled images "
                "take FrozenFeatures with a LinearHead"
            )
        if recipe.head.reads != "pooled":
            raise UserError(
                f"strategy Contrastive trains the pooled vector, which a {type(recipe.head).__name__} does not read; "
                "use LinearHead or MLPHead"
            )
        if last:
            raise UserError(
                "strategy Contrastive leaves the head as it is; let a stage follow: "
                "(Stage(Contrastive()), Stage(FrozenFeatures()))"
            )
        if own_objective:
            raise UserError("strategy Contrastive has a loss of its own, strategy.loss; leave that stage's objective")

    def check(self, depths: dict[str, int]) -> None:
        try:
            import sentence_transformers  # noqa: F401
        except ImportError as error:
            raise UserError(
                "strategy Contrastive needs sentence-transformers: pip install 'hf-transfer-recipes[few-shot]'"
            ) from error

    def trains(self, name: str, depth: int, top: int) -> bool:
        return depth < top
