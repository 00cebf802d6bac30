"""Text encoder + head -> model."""

import torch
from torch import nn

from ..backbones.checkpoint import check_loaded, quiet, reach
from ..backbones.finished import finished_backbone
from ..backbones.layer_fusion import NATIVE_READS_ONE
from ..backbones.trust import is_foreign
from ..errors import UserError
from ..heads import NativeHead
from .configuring import head_arguments, last_layer, with_head, write_names


def text_model(backbone, head, config, names, tokenizer, trust_remote_code):
    """Build the stock class for a `NativeHead`, ours for other heads."""
    build = _stock_model if isinstance(head, NativeHead) else _transfer_model
    return build(backbone, head, config, names, tokenizer, trust_remote_code)


def _stock_model(backbone, head, config, names, tokenizer, trust_remote_code):
    from transformers import AutoModelForSequenceClassification

    finished = backbone.finished(trust_remote_code)
    if backbone.embeddings_only:
        raise UserError("backbone.embeddings_only leaves nothing for a NativeHead; use LSTMHead or LinearHead")
    if backbone.fusion is not None:
        raise UserError(NATIVE_READS_ONE)
    kept = _same_names(config.id2label, names["id2label"])
    write_names(config, names)
    if finished is not None:
        model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
        _take_encoder(model, _finished_encoder(backbone, finished), backbone.checkpoint)
        grow_embeddings(model, tokenizer, backbone)
        return model
    model, info = _from_checkpoint(AutoModelForSequenceClassification, backbone, config, trust_remote_code)
    prefix = model.base_model_prefix
    new = tuple(name for name, _ in model.named_children() if name != prefix)
    # A pooler is missing from checkpoints that were pretrained without one: part of the head in all but name.
    check_loaded(backbone.checkpoint, info, (*(f"{name}." for name in new), f"{prefix}.pooler."))
    if not kept:
        _renew(model, _partly_loaded(model, new, info), config)
    grow_embeddings(model, tokenizer, backbone)
    return model


def _transfer_model(backbone, head, config, names, tokenizer, trust_remote_code):
    from ..hub import TransferForSequenceClassification, TransferTextConfig

    if is_foreign(config) or (trust_remote_code and "AutoModel" in (getattr(config, "auto_map", None) or {})):
        raise UserError(
            f"--trust_remote_code takes the encoder from the code of {backbone.checkpoint!r}, and under a "
            f"{type(head).__name__} that could not be loaded again; use a NativeHead, or leave the flag out if "
            "transformers has this encoder"
        )
    finished = backbone.finished(trust_remote_code)
    pooling, normalize = backbone.resolve_pooling(config, finished)
    if backbone.embeddings_only and pooling in ("pooler", "cls"):
        raise UserError(f"backbone.pooling {pooling!r} means nothing for input embeddings alone; use mean or max")
    encoder = _encoder(backbone, config, finished, pooling, trust_remote_code)
    grow_embeddings(encoder, tokenizer, backbone)
    encoder_config = getattr(encoder, "config", config)  # a copy of `config`, with the vocabulary grown
    if backbone.embeddings_only:
        encoder = _embeddings_alone(encoder)
    fusion = None
    if backbone.fusion is not None:
        layers = backbone.fusion.resolve(backbone.checkpoint, encoder_config.num_hidden_layers + 1, "hidden states")
        _check_hidden_states(encoder, layers, encoder_config.hidden_size, backbone.checkpoint)
        fusion = {"kind": backbone.fusion.method, "layers": list(layers)}
    model_config = TransferTextConfig(
        backbone_config=encoder_config,
        head=head_arguments(head),
        pooling=pooling,
        normalize=normalize,
        layer=last_layer(backbone, finished),
        fusion=fusion,
        embeddings_only=backbone.embeddings_only,
        pad_token_id=tokenizer.pad_token_id,
        **names,
    )
    return with_head(TransferForSequenceClassification, model_config, encoder)


def _from_checkpoint(cls, backbone, config, trust_remote_code) -> tuple[nn.Module, dict]:
    """Load a checkpoint's weights; what is missing or of another shape is told beside the model."""
    with reach(backbone.checkpoint, "weights"):
        return cls.from_pretrained(
            backbone.checkpoint,
            revision=backbone.revision,
            config=config,
            dtype="float32",
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )


def _encoder(backbone, config, finished, pooling: str, trust_remote_code) -> nn.Module:
    """Load the encoder, with its pooler where that is what is read.

    Raises:
        `UserError`: the pooler is asked for, and the checkpoint has none that was trained.
    """
    from transformers import AutoModel

    if finished is not None:
        encoder, absent = _finished_encoder(backbone, finished), []
    else:
        encoder, info = _from_checkpoint(AutoModel, backbone, config, trust_remote_code)
        check_loaded(backbone.checkpoint, info, ("pooler.",))
        new = [*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])]
        absent = [name for name in new if name.startswith("pooler.")]
    if pooling != "pooler":
        encoder.pooler = None
    elif absent or getattr(encoder, "pooler", None) is None:
        raise UserError(
            f"checkpoint {backbone.checkpoint!r} has no trained pooler; set backbone.pooling to cls, mean or max"
        )
    return encoder


def _embeddings_alone(encoder) -> nn.Module:
    from ..hub.modeling_transfer import InputEmbeddings

    matrix = encoder.get_input_embeddings().weight
    embeddings = InputEmbeddings(*matrix.shape)
    embeddings.word_embeddings.weight.data.copy_(matrix.data)
    return embeddings


@torch.no_grad()
def _check_hidden_states(encoder, layers, width: int, checkpoint: str) -> None:
    """Ask the encoder once, so that one which cannot say what its layers give is refused now."""
    ids = torch.ones(1, 2, dtype=torch.long, device=next(encoder.parameters()).device)
    outputs = encoder.eval()(input_ids=ids, attention_mask=ids, output_hidden_states=True)
    states = getattr(outputs, "hidden_states", None) or ()
    if len(states) <= layers[-1] or any(states[layer].shape != (1, 2, width) for layer in layers):
        raise UserError(
            f"backbone.fusion mixes hidden states of one width, and the encoder of {checkpoint!r} gives none such; "
            "leave backbone.fusion out"
        )


def _finished_encoder(backbone, finished) -> nn.Module:
    cut = backbone.layer is not None or backbone.fusion is not None
    return finished_backbone(backbone.checkpoint, backbone.revision, finished, cut=cut)


def _take_encoder(model, encoder: nn.Module, checkpoint: str) -> None:
    """Give a stock model the weights of an encoder; either may have a pooler that the other has no use for."""
    missing, unexpected = model.base_model.load_state_dict(encoder.state_dict(), strict=False)
    wrong = [name for name in (*missing, *unexpected) if not name.startswith("pooler.")]
    if wrong:
        raise UserError(f"checkpoint {checkpoint!r} does not fit a {type(model).__name__}: {wrong[0]!r}")


def _same_names(old: dict[int, str], new: dict[int, str]) -> bool:
    generic = all(name == f"LABEL_{number}" for number, name in old.items())
    return not generic and {int(k): v for k, v in old.items()} == new


def _partly_loaded(model, children: tuple[str, ...], info: dict) -> tuple[str, ...]:
    """Return the children some of whose weights came from the checkpoint.

    All others were drawn when the model was loaded, as stock `from_pretrained` draws them of the same seed; drawn a
    second time they would be others, and runs of both would not compare seed by seed.

    Args:
        info (`dict`): what `from_pretrained(..., output_loading_info=True)` returned beside the model.
    """
    drawn = {*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])}
    loaded = [name for name in model.state_dict() if name not in drawn]
    return tuple(child for child in children if any(name.startswith(f"{child}.") for name in loaded))


def _renew(model, children: tuple[str, ...], config) -> None:
    """Give the head fresh weights: one that was trained on other classes must not pass for knowledge about these."""
    if not children:
        return
    fresh = type(model)(config)
    for name in children:
        setattr(model, name, getattr(fresh, name))


def grow_embeddings(model, tokenizer, backbone) -> None:
    if not backbone.add_tokens or len(tokenizer) <= model.get_input_embeddings().num_embeddings:
        return
    if not hasattr(model, "resize_token_embeddings"):
        raise UserError(
            f"backbone.add_tokens has tokens that {backbone.checkpoint!r} does not know, and its input embeddings "
            "alone cannot grow; leave add_tokens out"
        )
    with quiet():
        model.resize_token_embeddings(len(tokenizer))
