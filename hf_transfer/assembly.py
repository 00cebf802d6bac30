"""Backbone + head -> model: a stock class where that is exact, ours where it must be. The only builder."""

from dataclasses import asdict

import torch
from torch import nn

from .backbones.checkpoint import check_loaded, quiet, reach
from .backbones.finished import finished_backbone, run_behind
from .backbones.fused import told_of
from .backbones.image import channels_of
from .backbones.layer_fusion import NATIVE_READS_ONE
from .backbones.trust import is_foreign
from .errors import UserError
from .heads import AttentionHead, GRUHead, LinearHead, LSTMHead, MLPHead, NativeHead, NoHead

KINDS = {
    LinearHead: "linear",
    MLPHead: "mlp",
    LSTMHead: "lstm",
    GRUHead: "gru",
    AttentionHead: "attention",
    NoHead: "none",
}


def build_model(backbone, head, labels, processor, trust_remote_code: bool = False) -> nn.Module:
    """Build the model that is trained, saved and pushed.

    Args:
        backbone (`TextBackbone`, `ImageBackbone` or `FusedBackbone`): its checkpoint's weights are loaded; of a model
            that a run of ours left behind, those of its encoder.
        head (`NativeHead`, `LinearHead`, `MLPHead`, `LSTMHead`, `GRUHead` or `AttentionHead`): new, except that a
            `NativeHead` whose checkpoint was trained on exactly these class names is kept.
        labels (`Labels`): class names and problem type, written into the configuration.
        processor: the tokenizer (its length sizes the embeddings) or the image processor; of a fused backbone a `dict`
            of those of its parts.

    Returns:
        `PreTrainedModel` in float32, in training mode.

    Raises:
        `UserError`: the checkpoint cannot be reached, is of the other modality, or is incomplete.
    """
    names = dict(
        id2label=dict(enumerate(labels.names)),
        label2id={name: number for number, name in enumerate(labels.names)},
        num_labels=len(labels.names),
        problem_type=labels.problem_type,
    )
    if hasattr(backbone, "parts"):
        return _fused_model(backbone, head, names, processor, trust_remote_code).float().train()
    return _single_model(backbone, head, names, processor, trust_remote_code).float().train()


def _single_model(backbone, head, names, processor, trust_remote_code) -> nn.Module:
    config = backbone.load_config(trust_remote_code)
    build = _image_model if backbone.modality == "image" else _text_model
    model = build(backbone, head, config, names, processor, trust_remote_code)
    if not is_foreign(model):
        for one in (model.config, getattr(model.config, "backbone_config", None)):
            if getattr(one, "auto_map", None):
                del one.auto_map  # of the checkpoint: it names code that was not used, and others might run it
    return model


def _fused_model(backbone, head, names, processors, trust_remote_code) -> nn.Module:
    """Build each part as a model of its own that ends in its pooled features, and join them."""
    from .hub import TransferForFusedClassification, TransferFusedConfig

    parts = {}
    for name, part in backbone.parts.items():
        with told_of(name):
            parts[name] = _single_model(part, NoHead(), {}, processors[name], trust_remote_code)
    widths = {part.feature_width() for part in parts.values()}
    width = backbone.width
    if backbone.fusion == "weighted" and width is None and len(widths) > 1:
        width = min(widths)
    config = TransferFusedConfig(
        parts={name: part.config for name, part in parts.items()},
        head=_head_arguments(head),
        fusion=backbone.fusion,
        alpha=backbone.alpha,
        width=width,
        **names,
    )
    return TransferForFusedClassification(config, parts=parts)


def checkpoint_label_names(backbone, head, trust_remote_code: bool = False) -> tuple[str, ...] | None:
    """Return the class names of a checkpoint whose head a `NativeHead` could keep, in the order of its ids."""
    if not isinstance(head, NativeHead) or backbone.modality == "image":
        return None
    config = backbone.load_config(trust_remote_code)
    return tuple(config.id2label[number] for number in sorted(config.id2label))


def origin(backbone, head, labels, trust_remote_code: bool = False) -> str | None:
    """Return the line that says what is taken of a model that a run of ours left behind; `None` for other checkpoints.

    Args:
        labels (`Labels`): of the rows that are trained on now.
    """
    if hasattr(backbone, "parts"):
        told = backbone.each(lambda part: origin(part, head, labels, trust_remote_code))
        lines = [f"{name}, {line}" for name, line in told.items() if line]
        return "; ".join(lines) or None
    run = run_behind(backbone.checkpoint, backbone.revision)
    finished = backbone.finished(trust_remote_code)
    if run is None and finished is None:
        return None
    what, unit = ("net", "stage") if backbone.modality == "image" else ("encoder", "block")
    if finished is None:
        kept = checkpoint_label_names(backbone, head, trust_remote_code) == tuple(labels.names)
        left = "and its head, which knows these very classes" if kept else "without its head"
    else:
        what = "input embeddings" if getattr(finished, "embeddings_only", False) else what
        left = f"without its {finished.head['kind']} head"
        left += "" if getattr(finished, "fusion", None) is None else " and its mix of layers"
        left += "" if finished.layer is None else f"; it was cut after {unit} {finished.layer}"
    return f"backbone: the {what} of {run or 'a finished run'}, {left}"


def _text_model(backbone, head, config, names, tokenizer, trust_remote_code):
    from transformers import AutoModel, AutoModelForSequenceClassification

    shared = dict(revision=backbone.revision, trust_remote_code=trust_remote_code, output_loading_info=True)
    finished = backbone.finished(trust_remote_code)
    if isinstance(head, NativeHead):
        if backbone.embeddings_only:
            raise UserError("backbone.embeddings_only leaves nothing for a NativeHead; use LSTMHead or LinearHead")
        if backbone.fusion is not None:
            raise UserError(NATIVE_READS_ONE)
        kept = _same_names(config.id2label, names["id2label"])
        _write_names(config, names)
        if finished is not None:
            model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
            _take_encoder(model, _finished_encoder(backbone, finished), backbone.checkpoint)
            grow_embeddings(model, tokenizer, backbone)
            return model
        with reach(backbone.checkpoint, "weights"):
            model, info = AutoModelForSequenceClassification.from_pretrained(
                backbone.checkpoint, config=config, dtype="float32", ignore_mismatched_sizes=True, **shared
            )
        prefix = model.base_model_prefix
        new = tuple(name for name, _ in model.named_children() if name != prefix)
        # A pooler is missing from checkpoints that were pretrained without one: part of the head in all but name.
        check_loaded(backbone.checkpoint, info, (*(f"{name}." for name in new), f"{prefix}.pooler."))
        if not kept:
            _renew(model, _partly_loaded(model, new, info), config)
        grow_embeddings(model, tokenizer, backbone)
        return model

    from .hub import TransferForSequenceClassification, TransferTextConfig
    from .hub.modeling_transfer import InputEmbeddings

    if is_foreign(config) or (trust_remote_code and "AutoModel" in (getattr(config, "auto_map", None) or {})):
        raise UserError(
            f"--trust_remote_code takes the encoder from the code of {backbone.checkpoint!r}, and under a "
            f"{type(head).__name__} that could not be loaded again; use a NativeHead, or leave the flag out if "
            "transformers has this encoder"
        )
    pooling, normalize = backbone.resolve_pooling(config, finished)
    if backbone.embeddings_only and pooling in ("pooler", "cls"):
        raise UserError(f"backbone.pooling {pooling!r} means nothing for input embeddings alone; use mean or max")
    if finished is not None:
        encoder, absent = _finished_encoder(backbone, finished), []
    else:
        with reach(backbone.checkpoint, "weights"):
            encoder, info = AutoModel.from_pretrained(
                backbone.checkpoint, config=config, dtype="float32", ignore_mismatched_sizes=True, **shared
            )
        check_loaded(backbone.checkpoint, info, ("pooler.",))
        new = [*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])]
        absent = [name for name in new if name.startswith("pooler.")]
    if pooling == "pooler":
        if absent or getattr(encoder, "pooler", None) is None:
            raise UserError(
                f"checkpoint {backbone.checkpoint!r} has no trained pooler; set backbone.pooling to cls, mean or max"
            )
    else:
        encoder.pooler = None
    grow_embeddings(encoder, tokenizer, backbone)
    encoder_config = getattr(encoder, "config", config)  # a copy of `config`, with the vocabulary grown
    if backbone.embeddings_only:
        matrix = encoder.get_input_embeddings().weight
        encoder = InputEmbeddings(*matrix.shape)
        encoder.word_embeddings.weight.data.copy_(matrix.data)
    fusion = None
    if backbone.fusion is not None:
        layers = backbone.fusion.resolve(backbone.checkpoint, encoder_config.num_hidden_layers + 1, "hidden states")
        _check_hidden_states(encoder, layers, encoder_config.hidden_size, backbone.checkpoint)
        fusion = {"kind": backbone.fusion.method, "layers": list(layers)}
    model_config = TransferTextConfig(
        backbone_config=encoder_config,
        head=_head_arguments(head),
        pooling=pooling,
        normalize=normalize,
        layer=_layer(backbone, finished),
        fusion=fusion,
        embeddings_only=backbone.embeddings_only,
        pad_token_id=tokenizer.pad_token_id,
        **names,
    )
    return _with_head(TransferForSequenceClassification, model_config, encoder)


def _with_head(cls, config, backbone) -> nn.Module:
    """Put a head on a backbone.

    Raises:
        `UserError`: the head does not fit the backbone's width.
    """
    try:
        return cls(config, backbone=backbone)
    except ValueError as error:
        if config.head["kind"] != "attention":
            raise
        raise UserError(f"AttentionHead.num_heads: {error}") from error


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


def _layer(backbone, finished) -> int | None:
    """Where the backbone ends: where the recipe says, else where the finished model was cut."""
    return backbone.layer if backbone.layer is not None or finished is None else finished.layer


def _image_model(backbone, head, config, names, processor, trust_remote_code):
    from transformers import TimmWrapperForImageClassification, TimmWrapperModel

    from .hub import TransferForImageClassification, TransferImageConfig
    from .hub.modeling_transfer import cut

    finished = backbone.finished(trust_remote_code)
    net = pretrained_net(backbone, config, finished)
    fusion = _image_fusion(backbone, head, net, finished)
    layer, pooling = None if fusion else _image_layer(backbone, finished, net), backbone.pooling
    if pooling == "auto":
        pooling = "pooler" if finished is None else finished.pooling
    # Of a model of ours, dense layers on top are gone, and the classifier of the stock class would miss them.
    whole = layer is None and fusion is None and (finished is None or not _has_dense_top(net))
    probe = isinstance(head, LinearHead) and head.dropout == 0 and pooling == "pooler" and not _has_dense_top(net)
    if whole and (isinstance(head, NativeHead) or probe):
        _write_names(config, names)
        model = TimmWrapperForImageClassification(config)
        target = model.timm_model
        missing, unexpected = target.load_state_dict(net.state_dict(), strict=False)
        classifier = {id(parameter) for parameter in target.get_classifier().parameters()}
        own = {name for name, parameter in target.named_parameters() if id(parameter) in classifier}
        if set(missing) - own or unexpected:
            raise UserError(f"checkpoint {backbone.checkpoint!r} does not fit timm's {config.architecture!r}")
        return model.to(memory_format=torch.channels_last)
    if isinstance(head, NativeHead):
        lost = f", and {backbone.checkpoint!r} holds a part of it" if backbone.layer is None else ""
        raise UserError(
            f"a NativeHead reads the whole net{lost}; with backbone.layer use LinearHead, MLPHead or LSTMHead"
        )

    model_config = TransferImageConfig(
        backbone_config=config,
        head=_head_arguments(head),
        pooling=pooling,
        layer=layer,
        fusion=fusion,
        pretrained_cfg=config.pretrained_cfg,
        architecture=config.architecture,
        **names,
    )
    wrapper = TimmWrapperModel(config)
    if layer is not None:
        stages = _stages(wrapper.timm_model, finished)
        if not 0 <= layer < stages:
            raise UserError(f"backbone.layer is {layer}; {backbone.checkpoint!r} has stages 0 to {stages - 1}")
    if finished is not None:
        cut(wrapper, finished)
    wrapper.timm_model.load_state_dict(net.state_dict())
    model = _with_head(TransferForImageClassification, model_config, cut(wrapper, model_config))
    return model.to(memory_format=torch.channels_last)


def _stages(net, finished) -> int:
    """How many stages or blocks a net still has; a finished model of ours may have been cut."""
    if finished is not None and finished.layer is not None:
        return finished.layer + 1
    if finished is not None and finished.fusion is not None:
        return finished.fusion["layers"][-1] + 1
    return len(net.feature_info)


def _image_layer(backbone, finished, net) -> int | None:
    """Where the net ends; one that was fused lacks what lay above, and a pyramid of stages its last layers too."""
    from .hub.modeling_transfer import blocks_alike

    if backbone.layer is not None or finished is None or finished.fusion is None:
        return _layer(backbone, finished)
    stages = _stages(net, finished)
    return None if blocks_alike(net) and stages == len(net.feature_info) else stages - 1


def _image_fusion(backbone, head, net, finished) -> dict | None:
    """What config.json says of the fusion of an image net's layers.

    Raises:
        `UserError`: the net cannot say what its layers give, or the head cannot read their mix.
    """
    from .hub.modeling_transfer import blocks_alike

    if backbone.fusion is None:
        return None
    if isinstance(head, NativeHead):
        raise UserError(NATIVE_READS_ONE)
    usable = hasattr(net, "forward_intermediates") and hasattr(net, "feature_info")
    alike = usable and blocks_alike(net)
    # A ViT that was cut at a layer has lost the norm that each block's states go through.
    if not usable or (alike and finished is not None and finished.layer is not None):
        raise UserError(
            f"backbone.fusion needs a net that gives what its blocks or stages give, and {backbone.checkpoint!r} is "
            "none; leave backbone.fusion out"
        )
    if not alike and (head.reads == "tokens" or backbone.pooling == "attention"):
        asked = "backbone.pooling 'attention'" if backbone.pooling == "attention" else f"{type(head).__name__}"
        raise UserError(
            f"the stages of {backbone.checkpoint!r} differ in size: backbone.fusion makes one vector per image of "
            f"them, and {asked} reads several; use LinearHead or MLPHead with pooling auto, mean or max, or a ViT"
        )
    layers = backbone.fusion.resolve(backbone.checkpoint, _stages(net, finished), "blocks or stages")
    return {"kind": backbone.fusion.method, "layers": list(layers)}


def pretrained_net(backbone, config, finished) -> nn.Module:
    """Load the checkpoint's timm net without its classifier, its first convolution fitted to `in_chans`.

    Args:
        config (`TimmWrapperConfig`): with the channels that are wanted.
        finished (`TransferImageConfig`, *optional*): of a model of ours, whose net may have been cut.
    """
    import copy

    from transformers import TimmWrapperModel

    from .hub.modeling_transfer import cut

    channels = channels_of(backbone.stored_config())
    if finished is not None:
        net = finished_backbone(backbone.checkpoint, backbone.revision, finished).timm_model
    else:
        original = copy.deepcopy(config)
        arguments = {key: value for key, value in (config.model_args or {}).items() if key != "in_chans"}
        original.model_args = (arguments if channels == 3 else {**arguments, "in_chans": channels}) or None
        with reach(backbone.checkpoint, "weights"):
            wrapper, info = TimmWrapperModel.from_pretrained(
                backbone.checkpoint,
                revision=backbone.revision,
                config=original,
                dtype="float32",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told by check_loaded, in one line
            )
        check_loaded(backbone.checkpoint, info, ())
        net = wrapper.timm_model
    if backbone.in_chans == channels:
        return net
    from timm.models import adapt_input_conv

    first = config.pretrained_cfg.get("first_conv")
    if not isinstance(first, str):
        raise UserError(
            f"backbone.in_chans: timm's {config.architecture!r} does not say which is its first convolution"
        )
    adapted = TimmWrapperModel(config)
    if finished is not None:
        cut(adapted, finished)
    weights = net.state_dict()
    weights[f"{first}.weight"] = adapt_input_conv(backbone.in_chans, weights[f"{first}.weight"])
    adapted.timm_model.load_state_dict(weights)
    return adapted.timm_model


def _has_dense_top(net) -> bool:
    """Whether pooled features and classifier are separated by dense layers (VGG), so that stock is not a linear probe
    of the pooled convolutional features."""
    return isinstance(getattr(net, "pre_logits", None), nn.Module)


def _head_arguments(head) -> dict:
    """What config.json says of a head: its kind and what builds its module; how it was trained is no part of it."""
    fields = {k: v for k, v in asdict(head).items() if k not in getattr(head, "training_only", ())}
    return {"kind": KINDS[type(head)], **{k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}}


def _write_names(config, names: dict) -> None:
    config.num_labels = names["num_labels"]
    config.id2label, config.label2id = names["id2label"], names["label2id"]
    config.problem_type = names["problem_type"]
    if hasattr(config, "label_names"):  # timm's own field; it would win over id2label when the model is saved
        config.label_names = list(names["id2label"].values())


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
