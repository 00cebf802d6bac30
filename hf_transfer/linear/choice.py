"""Whether a linear head is solved for by L-BFGS or trained by gradient descent, and what stands against the first."""

from collections.abc import Collection

from ..errors import UserError
from ..heads import LinearHead
from ..objectives import Supervised

# What is named here steers gradient descent and means nothing to the quasi-Newton fit, which sees all rows at once.
SGD_FIELDS = frozenset(
    """
    learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps
    optim optim_args optim_target_modules weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm bf16 fp16
    num_train_epochs max_steps per_device_train_batch_size auto_find_batch_size gradient_accumulation_steps
    average_tokens_across_devices train_sampling_strategy data_seed dataloader_drop_last
    eval_strategy eval_steps eval_delay eval_on_start save_strategy save_steps
    load_best_model_at_end metric_for_best_model greater_is_better
    """.split()
)


def settle_fit(recipe, frozen: bool, named: Collection[str] | None = None, single: bool = True) -> str:
    """Decide how a recipe's head is fitted.

    Args:
        recipe (`Recipe`): `head.fit` asks; `training` holds the command line's fields too.
        frozen (`bool`): whether the strategy freezes the whole backbone, so that its features can be recorded.
        named (`Collection[str]`, *optional*): training fields that were given for this fit; by default all.
        single (`bool`): whether nothing but the head's layer learns; what else does is not always told by the recipe.

    Returns:
        `str`: `"lbfgs"` or `"sgd"`. `"auto"` is lbfgs for a [`LinearHead`] without dropout on recorded pooled
        features, unless `training` names a field of gradient descent.

    Raises:
        `UserError`: `head.fit` is lbfgs and another field stands against it, or `head.l2` is given to gradient
            descent; both fields are named.
    """
    head = recipe.head
    if not isinstance(head, LinearHead) or head.fit == "sgd":
        return "sgd"
    reason = _against(recipe, frozen, recipe.training if named is None else named, single)
    if reason is None:
        return "lbfgs"
    if head.fit == "lbfgs":
        raise UserError(f"head.fit is 'lbfgs', but {reason}, or set head.fit to sgd")
    if head.l2 is not None:
        raise UserError(f"head.l2 is {head.l2}, the penalty of the lbfgs fit, but {reason}, or leave head.l2 out")
    return "sgd"


def _against(recipe, frozen: bool, given: Collection[str], single: bool) -> str | None:
    """Say what keeps a linear head from the quasi-Newton fit, and what to do about it; `None` for nothing."""
    if recipe.head.dropout > 0:
        return f"head.dropout is {recipe.head.dropout}, which only gradient descent can apply; set head.dropout to 0"
    if not frozen:
        return f"strategy {type(recipe.strategy).__name__} trains the backbone; use strategy FrozenFeatures"
    parts = getattr(recipe.backbone, "parts", {})
    if parts and recipe.backbone.fusion == "weighted" and recipe.backbone.alpha is None:
        return "backbone.alpha is none, which gradient descent learns; set backbone.alpha to a number"
    for name, part in parts.items():
        if part.pooling == "attention":
            return f"backbone.parts.{name}.pooling is 'attention', which is learned; set another one"
    if parts and not single:
        return "learned layers bring both parts to one width; set backbone.fusion to concat"
    if getattr(recipe.backbone, "pooling", None) == "attention":
        return "backbone.pooling is 'attention', which is learned by gradient descent; set another backbone.pooling"
    method = getattr(getattr(recipe.backbone, "fusion", None), "method", None)
    if method == "scalar_mix" or (method is not None and not single):
        return "backbone.fusion is learned by gradient descent; leave backbone.fusion out"
    if recipe.objective != Supervised():
        return f"objective {type(recipe.objective).__name__} asks for gradient descent; use Supervised()"
    named = [name for name in given if name in SGD_FIELDS]
    if named:
        return f"training.{named[0]} steers gradient descent; leave training.{named[0]} out"
    return None
