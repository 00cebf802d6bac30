"""Low-rank updates beside frozen weights, through peft."""

from dataclasses import dataclass

from ..errors import UserError
from .base import BackboneTraining

ADAPTER = "default"


@dataclass(frozen=True)
class LoRA(BackboneTraining):
    """LoRA (Hu et al. 2021), by the peft library: a low-rank update is learnt beside each linear layer of the backbone
    (in a convolutional net without linear layers, beside each full convolution; of two fused backbones each is looked
    at by itself), and the head. Before saving, the updates are added into the weights: the saved model is the plain
    one, and peft is not needed to load it. With `merge=False` they are saved apart, as peft's adapter to the
    checkpoint: a few megabytes, for the stock classes.

    Args:
        rank (`int`): of the updates.
        alpha (`float`): the update is scaled by `alpha / rank`.
        dropout (`float`): on the update's input, in training.
        targets (`tuple[str, ...]`): last part of the names of the layers to adapt, such as `("query", "value")`; by
            default all of them.
        merge (`bool`): add the updates into the weights when the model is saved.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    merge: bool = True

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "targets", tuple(self.targets))
        if self.rank < 1:
            raise UserError(f"strategy.rank is {self.rank}; it must be at least 1")
        if not 0 < self.alpha < float("inf"):
            raise UserError(f"strategy.alpha is {self.alpha}; allowed: a number above 0")
        if not 0 <= self.dropout < 1:
            raise UserError(f"strategy.dropout is {self.dropout}; allowed: 0 to below 1")

    def check_recipe(self, recipe, last: bool | None, own_objective: bool) -> None:
        """Refuse updates apart from a model that has no other place for them; see `Contrastive.check_recipe`."""
        if self.merge:
            return
        if last is False:
            raise UserError("strategy.merge is false in a stage that others follow; set it to true there")
        backbone = recipe.backbone
        if hasattr(backbone, "parts"):
            raise UserError(
                "strategy.merge is false, which saves an adapter to a stock model, and a fused model is one of ours; "
                "set strategy.merge to true"
            )
        if backbone.modality == "text" and recipe.head.reads != "native":
            raise UserError(
                f"strategy.merge is false, which saves an adapter to a stock model, and under a "
                f"{type(recipe.head).__name__} the model is one of ours; use NativeHead, or set strategy.merge to true"
            )
        if getattr(backbone, "add_tokens", ()) or getattr(backbone, "in_chans", 3) != 3:
            field = "add_tokens" if getattr(backbone, "add_tokens", ()) else "in_chans"
            raise UserError(
                f"strategy.merge is false, and backbone.{field} changes weights that an adapter does not hold; set "
                "strategy.merge to true"
            )

    def check_model(self, model, depths: dict[str, int]) -> None:
        super().check_model(model, depths)
        if not self.merge and model.config.model_type.startswith("transfer_"):
            raise UserError(
                "strategy.merge is false, which saves an adapter to a stock model, and with this head the model is "
                "one of ours; use NativeHead, or set strategy.merge to true"
            )

    def check(self, depths: dict[str, int]) -> None:
        try:
            import peft  # noqa: F401
        except ImportError as error:
            raise UserError("strategy LoRA needs peft: pip install 'hf-transfer-recipes[lora]'") from error

    def trains(self, name: str, depth: int, top: int) -> bool:
        return depth == top or "lora_" in name or self._is_pooler(name)

    def _is_pooler(self, name: str) -> bool:
        """Many checkpoints come without their pooler, whose weights are then drawn: an adapter must hold it whole."""
        return not self.merge and ".pooler." in name

    def trainable(self, model, depths: dict[str, int]) -> int:
        """Return how many parameters will move once the updates are there."""
        layers = [module for _, module in self._layers(model, depths)]
        added = sum(
            self.rank * (sum(layer.weight.shape[:2]) if layer.weight.ndim == 2 else _conv(layer)) for layer in layers
        )
        return super().trainable(model, depths) + added

    def prepare(self, model, depths: dict[str, int]):
        """Put the updates into `model`, in place: it keeps its class, and its parameters get other names."""
        from peft import LoraConfig, inject_adapter_in_model

        super().prepare(model, depths)
        names = [name for name, _ in self._layers(model, depths)]
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=names)
        top = max(depths.values())
        head = {name for name, depth in depths.items() if depth == top or self._is_pooler(name)}
        whole = [] if self.merge else list(_modules_of(model, head))
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
        own = dict(model.named_parameters())
        for name, parameter in own.items():
            parameter.requires_grad_("lora_" in name or name in head)
        if not self.merge:
            # Known now and not before, or peft would wrap the head: it is trained as it is, and saved beside.
            model.peft_config[ADAPTER].modules_to_save = whole
        return model

    def finish(self, model):
        """Add the updates into the weights and take them out of `model`, unless they are to stay apart."""
        if not self.merge:
            return super().finish(model)
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, layer in list(model.named_modules()):
            if isinstance(layer, BaseTunerLayer):
                layer.merge()
                parent, _, last = name.rpartition(".")
                setattr(model.get_submodule(parent), last, layer.get_base_layer())
        return super().finish(model)

    def _layers(self, model, depths: dict[str, int]) -> list[tuple[str, object]]:
        """The layers to adapt, with their names.

        Raises:
            `UserError`: a name in `targets` that no layer ends in.
        """
        from torch import nn

        top = max(depths.values())
        inside = [
            (name, module) for name, module in model.named_modules() if 0 < depths.get(f"{name}.weight", 0) < top
        ]
        inside = [(name, module) for name, module in inside if not self._is_pooler(f"{name}.weight")]
        linear = {_network(name) for name, module in inside if isinstance(module, nn.Linear)}
        layers = [
            (name, module)
            for name, module in inside
            if isinstance(module, nn.Linear)
            or (_network(name) not in linear and isinstance(module, nn.Conv2d) and module.groups == 1)
        ]
        if not self.targets:
            return layers
        ends = {name.rpartition(".")[2] for name, _ in layers}
        for target in self.targets:
            if target not in ends:
                raise UserError(f"strategy.targets names {target!r}; this backbone has {', '.join(sorted(ends))}")
        return [(name, m) for name, m in layers if name.rpartition(".")[2] in self.targets]


def _network(name: str) -> str:
    """Which of several fused backbones a layer is of: a net without linear layers stands beside an encoder of them."""
    return ".".join(name.split(".")[:2]) if name.startswith("parts.") else ""


def _modules_of(model, names: set[str], prefix: str = ""):
    """Yield the largest modules whose parameters are all among `names`."""
    for name, child in model.named_children():
        own = [f"{prefix}{name}.{inner}" for inner, _ in child.named_parameters()]
        if own and names.issuperset(own):
            yield f"{prefix}{name}"
        else:
            yield from _modules_of(child, names, f"{prefix}{name}.")


def _conv(layer) -> int:
    """Inputs (times the kernel) plus outputs of a convolution: what one rank of an update costs."""
    outputs, inputs, height, width = layer.weight.shape
    return inputs * height * width + outputs
