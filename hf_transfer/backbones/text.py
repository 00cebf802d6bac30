"""Text encoders: a spec, and what is specific to transformers' text models."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UserError
from .checkpoint import reach, read_json
from .config import finished_config, load_config
from .layer_fusion import LayerFusion, check_fusion
from .trust import check_trust, is_foreign

POOLINGS = ("auto", "cls", "mean", "max", "attention", "pooler")


@dataclass(frozen=True)
class TextBackbone:
    """A BERT-style encoder from the Hub or from a folder.

    Args:
        checkpoint (`str`): Hub id, or folder with `config.json`, weights and tokenizer. Of a model that a run of ours
            left behind, its encoder is taken, and its head is left out.
        revision (`str`, *optional*): branch, tag or commit of a Hub id; pin it to make a run repeatable. Where the
            checkpoint's own code is run, a full commit hash is needed.
        max_length (`int`): longer texts are cut after this many tokens.
        pooling (`str`): token states to one vector: `"auto"` is what the checkpoint says (sentence-transformers'
            `1_Pooling` and `Normalize`, or a finished run of ours, else the model's own pooler, else `"cls"`), or
            `"cls"`, `"mean"`, `"max"`, `"attention"`, `"pooler"`. A `NativeHead` pools by itself. With `fusion` the
            mean takes the place of pooler and `"cls"`: the first token's embedding says nothing of a text.
        layer (`int`, *optional*): read the states after this many blocks and leave the blocks above out.
        embeddings_only (`bool`): use the input embedding matrix alone, without the encoder.
        add_tokens (`tuple[str, ...]`): new tokens; the embeddings grow by as many rows.
        fusion (`LayerFusion`, *optional*): a mix of hidden states takes the place of the last ones.
    """

    checkpoint: str
    revision: str | None = None
    max_length: int = 128
    pooling: str = "auto"
    layer: int | None = None
    embeddings_only: bool = False
    add_tokens: tuple[str, ...] = ()
    fusion: LayerFusion | None = None

    def __post_init__(self):
        object.__setattr__(self, "checkpoint", str(self.checkpoint))
        object.__setattr__(self, "add_tokens", tuple(self.add_tokens))
        if self.pooling not in POOLINGS:
            raise UserError(f"backbone.pooling is {self.pooling!r}; allowed: {', '.join(POOLINGS)}")
        if self.max_length < 2:
            raise UserError(f"backbone.max_length is {self.max_length}; it must be at least 2")
        if self.layer is not None and self.layer < 1:
            raise UserError(f"backbone.layer is {self.layer}; blocks count from 1 (for none: embeddings_only)")
        check_fusion(self)

    @property
    def modality(self) -> str:
        return "text"

    def finished(self, trust_remote_code: bool = False):
        """Load the configuration of a model of ours (encoder and a head that is not the stock one).

        Returns:
            `TransferTextConfig`, its encoder cut to `layer` blocks; `None` for any other checkpoint.
        """
        config = finished_config(self.checkpoint, load_config(self.checkpoint, self.revision, trust_remote_code))
        if config is None or config.model_type != "transfer_text":
            return None
        blocks = config.backbone_config.num_hidden_layers
        config.backbone_config.num_hidden_layers = min(self._highest(blocks), blocks)
        return config

    def load_config(self, trust_remote_code: bool = False):
        """Load the encoder's configuration, cut to `layer` blocks.

        Raises:
            `UserError`: no such checkpoint, not a text encoder, or `layer` / `max_length` beyond what it has.
        """
        from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

        config = load_config(self.checkpoint, self.revision, trust_remote_code)
        finished = finished_config(self.checkpoint, config)
        if finished is not None:
            config = finished.backbone_config
            if getattr(finished, "embeddings_only", False) and not self.embeddings_only:
                raise UserError(
                    f"checkpoint {self.checkpoint!r} holds input embeddings alone, without an encoder; "
                    "add --backbone.embeddings_only true"
                )
        brought = getattr(config, "auto_map", None) or {}
        listed = type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
        known = listed or "AutoModelForSequenceClassification" in brought
        if not known or config.model_type == "timm_wrapper":
            raise UserError(
                f"checkpoint {self.checkpoint!r} is a {config.model_type!r} model, not a text encoder; "
                "a text recipe needs one that transformers lists for sequence classification"
            )
        blocks = config.num_hidden_layers
        if self.layer is not None and self.layer > blocks:
            raise UserError(f"backbone.layer is {self.layer}; {self.checkpoint!r} has {blocks} blocks")
        config.num_hidden_layers = self._highest(blocks)
        positions = getattr(config, "max_position_embeddings", None) or 0
        # RoBERTa's position ids start after the padding id, so that many places are not for tokens.
        reserved = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
        if 0 < positions - reserved < self.max_length:
            raise UserError(
                f"backbone.max_length is {self.max_length}; {self.checkpoint!r} reads at most "
                f"{positions - reserved} tokens"
            )
        return config

    def _highest(self, blocks: int) -> int:
        """Return the last block that anything reads; those above are left out."""
        if self.fusion is not None:
            return self.fusion.resolve(self.checkpoint, blocks + 1, "hidden states")[-1]
        return blocks if self.layer is None else self.layer

    def processor(self, trust_remote_code: bool = False):
        """Load the tokenizer, with `add_tokens`, padding on the right and `max_length` as its limit."""
        from transformers import AutoTokenizer

        from .. import hub  # noqa: F401  AutoTokenizer reads config.json too, which may be that of a model of ours

        if trust_remote_code:
            check_trust(self.checkpoint, self.revision)
        with reach(self.checkpoint, "a tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(
                self.checkpoint, revision=self.revision, trust_remote_code=trust_remote_code
            )
        if not is_foreign(tokenizer):
            tokenizer.init_kwargs.pop("auto_map", None)  # it would be saved, and names code that was not used
        tokenizer.padding_side = "right"
        # Saved with the model, so that a stranger's `truncation=True` cuts where training did.
        tokenizer.model_max_length = self.max_length
        if self.add_tokens:
            tokenizer.add_tokens(list(self.add_tokens))
        return tokenizer

    def resolve_pooling(self, config, finished=None) -> tuple[str, bool]:
        """Return the pooling that `"auto"` stands for, and whether the pooled vectors are scaled to length 1.

        A finished model of ours says both, and so does a sentence-transformers checkpoint, in `1_Pooling` and
        `modules.json`; else it is the model's own pooler where its class has one, and the first token where not.

        Args:
            config (`PreTrainedConfig`): the encoder's.
            finished (`TransferTextConfig`, *optional*): what [`finished`] returned.
        """
        if self.pooling != "auto":
            return self.pooling, False
        followed = finished is not None and (finished.embeddings_only or not self.embeddings_only)
        if followed and not (self.fusion and finished.pooling == "pooler"):
            return finished.pooling, finished.normalize
        if self.embeddings_only:
            return "mean", False
        left = read_json(self.checkpoint, "results.json", self.revision)  # of a run that pretrained it
        left = left.get("pretraining") if isinstance(left, dict) else None
        if isinstance(left, dict) and left.get("pooling") in ("cls", "mean", "max"):
            return left["pooling"], bool(left.get("normalize"))
        declared = read_json(self.checkpoint, "1_Pooling/config.json", self.revision)
        if declared is not None:
            modules = read_json(self.checkpoint, "modules.json", self.revision) or []
            return self._declared_pooling(declared), any("Normalize" in module["type"] for module in modules)
        if self.fusion is not None:
            return "mean", False
        import torch
        from transformers import AutoModel

        # Building on the meta device costs no memory and tells whether the class has a pooler.
        with torch.device("meta"):
            encoder = AutoModel.from_config(config, trust_remote_code=False)
        return ("pooler" if getattr(encoder, "pooler", None) is not None else "cls"), False

    def _declared_pooling(self, settings: dict) -> str:
        flags = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens", "max": "pooling_mode_max_tokens"}
        chosen = [mode for mode, flag in flags.items() if settings.get(flag) or settings.get("pooling_mode") == mode]
        if len(chosen) != 1:
            raise UserError(
                f"{self.checkpoint}/1_Pooling/config.json asks for a pooling that is not known here; "
                "set backbone.pooling to cls, mean, max or attention"
            )
        return chosen[0]

    def preprocess(self, rows: Mapping[str, list], processor) -> dict[str, list]:
        """Tokenise a batch of rows: lists `text` (and `text_pair`) to lists of ids, and each row's `length`.

        What the collator can tell by itself is left out, for it would be written and read row by row: the attention
        mask, and a single text's segment where it is 0 throughout.
        """
        pairs = (rows["text_pair"],) if "text_pair" in rows else ()
        encoded = processor(
            rows["text"], *pairs, truncation=True, max_length=self.max_length, return_attention_mask=False
        )
        if not pairs and not any(encoded.get("token_type_ids", [()])[0]):  # one template makes all rows
            encoded.pop("token_type_ids", None)
        return {**encoded, "length": [len(ids) for ids in encoded["input_ids"]]}

    def depths(self, model) -> dict[str, int]:
        """Map each parameter name to 0 (embeddings), 1..n (blocks; what follows the last one too) or n + 1 (head)."""
        prefix = model.base_model_prefix + "."
        base = model.base_model
        blocks = block_list(base, model.config)
        n = len(dict(base.named_modules())[blocks]) if blocks else 0
        result = {}
        for name, _ in model.named_parameters():
            inner = name.removeprefix(prefix)
            if inner == name:
                result[name] = n + 1
            elif blocks and inner.startswith(blocks + "."):
                result[name] = int(inner[len(blocks) + 1 :].split(".", 1)[0]) + 1
            else:
                result[name] = 0 if "embed" in inner else n
        return result


def block_list(base, config) -> str | None:
    """Name of the module list that holds the encoder's blocks: the outermost one of the configured length."""
    import torch

    encoder = getattr(config, "backbone_config", config)
    lengths = {encoder.num_hidden_layers, getattr(encoder, "num_hidden_groups", None)}
    for name, module in base.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) in lengths:
            return name
    return None
