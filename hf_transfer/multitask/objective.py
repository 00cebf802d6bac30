"""From the objective of a recipe to the loss of a mixture."""

from ..errors import UserError
from ..objectives import L2SP, Supervised, WeightedSum
from ..objectives.step_loss import build_objective
from ..objectives.terms import Context
from .loss import MixtureLoss

ALLOWED = (Supervised, L2SP)


def check_objective(objective) -> None:
    """Refuse parts that are made for one task.

    Raises:
        `UserError`: the first of them, with what is allowed.
    """
    for one, _ in _parts(objective):
        if not isinstance(one, ALLOWED):
            raise UserError(
                f"objective {type(one).__name__} is made for one task; with a TaskMixture allowed: Supervised(), "
                "Supervised() + L2SP()"
            )


def mixture_loss(recipe, labels, label_smoothing: float, context: Context) -> MixtureLoss:
    """Build the loss of a stage.

    Args:
        recipe (`Recipe`): of the stage; its data is a [`TaskMixture`].
        labels (`Mapping[str, Labels]`): of each task.
        label_smoothing (`float`): see [`SupervisedLoss`].
        context (`Context`): of the joint model.
    """
    pairs = _parts(recipe.objective)
    task, weight = next(pair for pair in pairs if isinstance(pair[0], Supervised))
    alone = WeightedSum((task,), (weight,))
    losses = {
        name: build_objective(alone, one.problem_type, one.class_weights, label_smoothing)
        for name, one in labels.items()
    }
    regressions = [name for name, one in labels.items() if one.problem_type == "regression"]
    beside = [(one.build(context), share) for one, share in pairs if not isinstance(one, Supervised)]
    return MixtureLoss(losses, regressions, recipe.data.weights, beside)


def shared_context(plan, model, depths) -> Context:
    """Return what terms may ask for that is the same for all tasks: the weights that the stage starts from."""
    return Context(model=model, depths=depths, num_labels=0, frozen=plan.frozen)


def _parts(objective) -> list[tuple]:
    if isinstance(objective, WeightedSum):
        return list(zip(objective.objectives, objective.weights, strict=True))
    return [(objective, 1.0)]
