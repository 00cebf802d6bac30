"""Two pretrained networks side by side: a spec of specs."""

import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UserError
from ..readonly import ReadOnly
from .image import ImageBackbone
from .text import TextBackbone

FUSIONS = ("concat", "weighted")
_OF_ONE = {
    "DELTA": "the feature maps of one network",
    "CoTuning": "the classifier that one checkpoint was pretrained with",
    "Distillation": "a teacher that takes the inputs of one network",
}
_EXAMPLE = '{"source": TextBackbone(...), "target": TextBackbone(...)}'


@dataclass(frozen=True)
class FusedBackbone:
    """Backbone fusion: the pooled features of two networks, side by side or mixed, under one head.

    Two text encoders read the same text, each by its own tokenizer; two image nets the same picture, each at its own
    size; a text encoder and an image net read rows that have both (`TextImageClassification`).

    Args:
        parts (`Mapping[str, TextBackbone or ImageBackbone]`): two backbones by name, as in
            `{"source": TextBackbone(...), "target": TextBackbone(...)}`; the order counts for `alpha`.
        fusion (`str`): `"concat"` puts the pooled vectors side by side; `"weighted"` is
            `alpha * F_first + (1 - alpha) * F_second`.
        alpha (`float`, *optional*): weight of the first part, from 0 to 1; `None` learns it, as the sigmoid of a
            parameter that starts at 0 (alpha one half). Of `"weighted"` only.
        width (`int`, *optional*): of `"weighted"`: a learned linear layer brings each part to this common width. By
            default there is none where both parts have one width already, else the smaller one is taken.

    Raises:
        `UserError`: another number of parts, a part of another kind, or a field that `fusion` has no use for.
    """

    parts: Mapping[str, Any]
    fusion: str = "concat"
    alpha: float | None = 0.5
    width: int | None = None

    def __post_init__(self):
        if not isinstance(self.parts, Mapping) or len(self.parts) != 2:
            raise UserError(f"backbone.parts is {self.parts!r}; allowed: two backbones by name, as in {_EXAMPLE}")
        first = next(iter(self.parts))
        for name, part in self.parts.items():
            if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9]*", name):
                raise UserError(f"backbone.parts: a part is named {name!r}; allowed: small letters and digits")
            if not isinstance(part, TextBackbone | ImageBackbone):
                raise UserError(f"backbone.parts: {name} is {part!r}; allowed: TextBackbone(...), ImageBackbone(...)")
        object.__setattr__(self, "parts", ReadOnly(self.parts))
        if self.fusion not in FUSIONS:
            raise UserError(f"backbone.fusion is {self.fusion!r}; allowed: {', '.join(FUSIONS)}")
        if self.fusion == "concat" and (self.alpha != 0.5 or self.width is not None):
            field = "width" if self.width is not None else "alpha"
            raise UserError(
                f"backbone.{field} is {getattr(self, field)}, which fusion 'concat' has no use for; leave it out, or "
                "set backbone.fusion to weighted"
            )
        if self.alpha is not None and not (_is(self.alpha, int | float) and 0 <= self.alpha <= 1):
            raise UserError(
                f"backbone.alpha is {self.alpha!r}; allowed: 0 to 1, the weight of {first!r}, or none to learn it"
            )
        if self.width is not None and not (_is(self.width, int) and self.width >= 1):
            raise UserError(f"backbone.width is {self.width!r}; allowed: an integer of at least 1, or none")

    @property
    def modality(self) -> str:
        """`"text"`, `"image"`, or `"text_image"` for one of each."""
        kinds = {part.modality for part in self.parts.values()}
        return kinds.pop() if len(kinds) == 1 else "text_image"

    def check_recipe(self, head, objectives) -> None:
        """Refuse what needs a single network.

        Args:
            head: a head; token states of two networks have no positions in common, and no stock class has two.
            objectives (`Iterable`): what is minimised in any stage.

        Raises:
            `UserError`: see there.
        """
        if head.reads != "pooled":
            raise UserError(
                f"recipe: head is {type(head).__name__}, and a FusedBackbone gives one vector per row; allowed: heads "
                "on pooled features, LinearHead or MLPHead"
            )
        for objective in objectives:
            if type(objective).__name__ in _OF_ONE:
                raise UserError(
                    f"recipe: objective {type(objective).__name__} reads {_OF_ONE[type(objective).__name__]}, and a "
                    "FusedBackbone has two networks; allowed: Supervised, L2SP, BSS"
                )

    def load_config(self, trust_remote_code: bool = False) -> dict:
        """Load each part's configuration, by name; see there for what is raised."""
        return self.each(lambda part: part.load_config(trust_remote_code))

    def processor(self, trust_remote_code: bool = False) -> dict:
        """Load each part's tokenizer or image processor, by name."""
        return self.each(lambda part: part.processor(trust_remote_code))

    def each(self, ask) -> dict[str, Any]:
        """Return `ask(part)` of each part by its name; what it refuses is told of that part's own fields."""
        answers = {}
        for name, part in self.parts.items():
            with told_of(name):
                answers[name] = ask(part)
        return answers

    def with_parts(self, change) -> "FusedBackbone":
        """Return this backbone with `change(part)` in the place of each part."""
        return replace(self, parts=self.each(change))

    def depths(self, model) -> dict[str, int]:
        """Map each parameter name to 0 (embeddings and stems), 1..n (blocks) or n + 1 (fusion and head).

        n is that of the deeper part. Blocks are counted from the top in both, so that the last block of either has
        depth n: the top k blocks are those of each part, and both learn at the same rate next to the head. What lies
        below all blocks is 0 in both.
        """
        own = {name: part.depths(model.parts[name]) for name, part in self.parts.items()}
        blocks = {name: _blocks(model.parts[name], depths) for name, depths in own.items()}
        n = max(blocks.values())
        result = dict.fromkeys((name for name, _ in model.named_parameters()), n + 1)
        for name, depths in own.items():
            for parameter, depth in depths.items():
                result[f"parts.{name}.{parameter}"] = depth + n - blocks[name] if depth else 0
        return result


@contextmanager
def told_of(name: str):
    """Let an error speak of the field, or the flag, of this part."""
    try:
        yield
    except UserError as error:
        raise UserError(re.sub(r"\bbackbone\.(?=[a-z])", f"backbone.parts.{name}.", str(error))) from error


def _blocks(model, depths: Mapping[str, int]) -> int:
    """How many blocks a part has; a learned pooling lies above them."""
    prefix = f"{model.base_model_prefix}."
    return max(depth for name, depth in depths.items() if name.startswith(prefix))


def _is(value, kind) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
