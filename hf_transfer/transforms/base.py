"""What a model transform is asked."""


class Transform:
    """A change to the model before it is trained, taken back before it is saved where the saved model needs it not."""

    def check(self, model, depths: dict[str, int], strategy) -> None:
        """Refuse a model or a strategy that the transform means nothing for.

        Args:
            model (`nn.Module`): as built.
            depths (`dict[str, int]`): of every parameter name.
            strategy (`Strategy`): says what will train.

        Raises:
            `UserError`: what the transform needs, and what is there.
        """

    def holds(self, model) -> set[str]:
        """Return the names of the parameters that stand still whatever the strategy says."""
        return set()

    def apply(self, model, depths: dict[str, int]) -> None:
        """Change `model` in place; its parameters and buffers keep their names."""

    def restore(self, model) -> None:
        """Take back what is meant for training alone."""
