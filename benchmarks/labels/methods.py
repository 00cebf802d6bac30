"""The strategies that are compared, each as a recipe, and what was fixed for all of them beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

SIZES = (8, 32, 128, "all")
SETS = ("text", "image")
IMAGE_SIZE = 48  # the digits have 28 pixels; at 48 the net's last map is 2 x 2
TOP = {"text": 7, "image": 8}  # depth of the head: above MiniLM's 6 blocks, above EfficientNet-Lite0's 7 stages
# Rows per step and epochs by labels per class: steps grow with the labels, epochs shrink.
BATCH = {"text": {8: 8, 32: 16, 128: 16, "all": 32}, "image": {8: 16, 32: 16, 128: 32, "all": 32}}
EPOCHS = {"text": {8: 20, 32: 10, 128: 5, "all": 2}, "image": {8: 12, 32: 6, 128: 4, "all": 2}}
HEAD_EPOCHS = {8: 40, 32: 30, 128: 20, "all": 6}  # a head on recorded features costs little
PAIRS = {8: 20, 32: 5, 128: 1, "all": 1}  # per row, of its own class and of others each: about as many at every size


@dataclass(frozen=True)
class Method:
    """One strategy of the comparison.

    Args:
        name (`str`): as `--methods` takes it.
        title (`str`): as the table says it, or `"texts' title / images' title"`.
        sets (`tuple[str, ...]`): `"text"`, `"image"`.
        rates (`dict[str, tuple[float, ...]]`): by set the learning rates that are tried; none where nothing is tuned.
        parts (`Callable`): set, size and learning rate to the recipe's head, strategy, objective and training.
    """

    name: str
    title: str
    sets: tuple[str, ...]
    rates: Mapping[str, tuple[float, ...]]
    parts: Callable[[str, Any, float | None], dict]

    def called(self, kind: str) -> str:
        """Return the title for one set."""
        return self.title.split(" / ")[-1 if kind == "image" else 0]

    def recipe(self, kind: str, size, rate: float | None, data):
        """Return the recipe for a set, with the package's embedded checkpoint and the rows of one draw."""
        from dataclasses import replace

        from hf_transfer import ImageBackbone, ImageClassification, Recipe, TextBackbone, TextClassification
        from hf_transfer.demo import demo_recipe

        parts = self.parts(kind, size, rate)
        if kind == "text":
            start = demo_recipe(Recipe(self.title, TextClassification("demo"), TextBackbone("demo"), **parts))
        else:
            # Frozen nets see every picture once, as it is; so that all train on the same, none is augmented.
            backbone = ImageBackbone("demo", augmentation="none")
            start = demo_recipe(Recipe(self.title, ImageClassification("demo"), backbone, **parts))
            start = replace(start, backbone=replace(start.backbone, image_size=IMAGE_SIZE))
        return replace(start, data=data)


def _descent(kind: str, size, rate: float, **more) -> dict:
    """Training fields of everything that moves the backbone; the last weights are kept, no epoch is chosen."""
    fields = dict(
        learning_rate=rate,
        num_train_epochs=EPOCHS[kind][size],
        per_device_train_batch_size=BATCH[kind][size],
        warmup_steps=0.1,
        eval_strategy="no",
        save_strategy="no",
    )
    return {**fields, **more}


def _probe(kind, size, rate):
    from hf_transfer import FrozenFeatures, LinearHead

    return dict(head=LinearHead(), strategy=FrozenFeatures())


def _frozen_head(kind, size, rate):
    from hf_transfer import FrozenFeatures, LSTMHead, MLPHead

    head = LSTMHead(hidden_size=64, num_layers=1) if kind == "text" else MLPHead(hidden_sizes=(256,))
    fields = dict(num_train_epochs=HEAD_EPOCHS[size])
    return dict(head=head, strategy=FrozenFeatures(), training=_descent(kind, size, rate, **fields))


def _full(kind, size, rate):
    from hf_transfer import FullFineTune, LinearHead

    return dict(head=LinearHead(), strategy=FullFineTune(), training=_descent(kind, size, rate))


def _lp_ft(kind, size, rate):
    from hf_transfer import FrozenFeatures, FullFineTune, LinearHead, Stage

    stages = (Stage(FrozenFeatures()), Stage(FullFineTune(), training=_descent(kind, size, rate)))
    return dict(head=LinearHead(), strategy=stages)


def _gradual(kind, size, rate):
    from hf_transfer import GradualUnfreeze, LinearHead

    # Everything moves once half of the epochs are over.
    per_epoch = ceil(TOP[kind] / max(1, EPOCHS[kind][size] // 2))
    strategy = GradualUnfreeze(per_epoch=per_epoch, layer_decay=0.8)
    return dict(head=LinearHead(), strategy=strategy, training=_descent(kind, size, rate))


def _l2_sp(kind, size, rate):
    from hf_transfer import L2SP, Supervised

    return {**_full(kind, size, rate), "objective": Supervised() + L2SP(alpha=0.01, beta=0.01)}


def _lora(kind, size, rate):
    from hf_transfer import LinearHead, LoRA

    return dict(head=LinearHead(), strategy=LoRA(rank=8, alpha=16.0), training=_descent(kind, size, rate))


def _few_shot(kind, size, rate):
    from hf_transfer import Contrastive, FrozenFeatures, LinearHead, Stage

    fields = dict(learning_rate=rate, max_steps=40)  # of 16 pairs: all that there are, but of "all" a part
    stages = (Stage(Contrastive(pairs_per_row=PAIRS[size]), training=fields), Stage(FrozenFeatures()))
    return dict(head=LinearHead(), strategy=stages)


_WHOLE = {"text": (1e-4, 3e-4, 1e-3), "image": (3e-4, 1e-3, 3e-3)}
_HEAD = dict.fromkeys(SETS, (1e-3, 3e-3, 1e-2))
_UPDATES = {"text": (3e-4, 1e-3, 3e-3), "image": (1e-3, 3e-3, 1e-2)}
_PAIRS = {"text": (1e-5, 2e-5, 5e-5)}

METHODS = {
    method.name: method
    for method in (
        Method("linear_probe", "linear probe", SETS, {}, _probe),
        Method("frozen_head", "LSTM on frozen / MLP on frozen", SETS, _HEAD, _frozen_head),
        Method("full", "full fine-tuning", SETS, _WHOLE, _full),
        Method("lp_ft", "LP-FT", SETS, _WHOLE, _lp_ft),
        Method("gradual", "gradual unfreezing + LLRD", SETS, _WHOLE, _gradual),
        Method("l2_sp", "L2-SP", SETS, _WHOLE, _l2_sp),
        Method("lora", "LoRA", SETS, _UPDATES, _lora),
        Method("few_shot", "few-shot contrastive", ("text",), _PAIRS, _few_shot),
    )
}
BASELINE = "linear_probe"
