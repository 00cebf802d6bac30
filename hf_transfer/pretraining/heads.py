"""What stands on a backbone while it is pretrained: specs only, as in `hf_transfer/heads.py`."""

from dataclasses import dataclass
from typing import ClassVar

from ..errors import UserError


@dataclass(frozen=True)
class MaskedLMHead:
    """The masked-language-modelling head of the checkpoint's own stock class, `XForMaskedLM`; where the checkpoint
    brings none, a new one that shares its output matrix with the input embeddings.

    Of each text a share of the tokens is chosen; of these 80% become the mask token, 10% another token, and 10% stay
    what they are; the loss is over the chosen ones (Devlin et al. 2019, section 3.1).

    Args:
        probability (`float`): share of the tokens that is chosen, of each text at least one.
        whole_word (`bool`): choose words, with all of their tokens, instead of single tokens (whole-word masking).
    """

    probability: float = 0.15
    whole_word: bool = False
    reads: ClassVar[str] = "tokens"

    def __post_init__(self):
        if not 0 < self.probability < 1:
            raise UserError(f"MaskedLMHead.probability is {self.probability!r}; allowed: above 0, below 1")
        if not isinstance(self.whole_word, bool):
            raise UserError(f"MaskedLMHead.whole_word is {self.whole_word!r}; allowed: true or false")


@dataclass(frozen=True)
class ProjectionHead:
    """SimCLR's two-layer projection head on the pooled features (Chen et al. 2020, section 4.2); it is trained and
    thrown away.

    Args:
        hidden_size (`int`): width of its hidden layer; 0 takes that of the features.
        size (`int`): width of what is compared.
        temperature (`float`): cosine similarities are divided by it.
    """

    hidden_size: int = 0
    size: int = 128
    temperature: float = 0.1
    reads: ClassVar[str] = "pooled"

    def __post_init__(self):
        for field, least in (("hidden_size", 0), ("size", 2)):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"ProjectionHead.{field} is {value!r}; allowed: an integer of at least {least}")
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"ProjectionHead.temperature is {self.temperature!r}; allowed: a number above 0")
