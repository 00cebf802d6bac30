"""Backbone + head -> model: a stock class where that is exact, ours where it must be. The only builder."""

from dataclasses import asdict

import torch
from torch import nn

from .backbones.checkpoint import check_loaded, quiet, reach
from .errors import UserError
from .heads import LinearHead, LSTMHead, MLPHead, NativeHead

KINDS = {LinearHead: "linear", MLPHead: "mlp", LSTMHead: "lstm"}


def build_model(backbone, head, labels, processor, trust_remote_code: bool = False) -> nn.Module:
    """Build the model that is trained, saved and pushed.

    Args:
        backbone (`TextBackbone` or `ImageBackbone`): its checkpoint's weights are loaded.
        head (`NativeHead`, `LinearHead`, `MLPHead` or `LSTMHead`): new, except that a `NativeHead` whose checkpoint
            was trained on exactly these class names is kept.
        labels (`Labels`): class names and problem type, written into the configuration.
        processor: the tokenizer (its length sizes the embeddings) or the image processor.

    Returns:
        `PreTrainedModel` in float32, in training mode.

    Raises:
        `UserError`: the checkpoint cannot be reached, is of the other modality, or is incomplete.
    """
    config = backbone.load_config(trust_remote_code)
    names = dict(
        id2label=dict(enumerate(labels.names)),
        label2id={name: number for number, name in enumerate(labels.names)},
        num_labels=len(labels.names),
        problem_type=labels.problem_type,
    )
    build = _image_model if backbone.modality == "image" else _text_model
    model = build(backbone, head, config, names, processor, trust_remote_code)
    return model.float().train()


def checkpoint_label_names(backbone, head, trust_remote_code: bool = False) -> tuple[str, ...] | None:
    """Return the class names of a checkpoint whose head a `NativeHead` could keep, in the order of its ids."""
    if not isinstance(head, NativeHead) or backbone.modality == "image":
        return None
    config = backbone.load_config(trust_remote_code)
    return tuple(config.id2label[number] for number in sorted(config.id2label))


def _text_model(backbone, head, config, names, tokenizer, trust_remote_code):
    from transformers import AutoModel, AutoModelForSequenceClassification

    shared = dict(revision=backbone.revision, trust_remote_code=trust_remote_code, output_loading_info=True)
    if isinstance(head, NativeHead):
        if backbone.embeddings_only:
            raise UserError("backbone.embeddings_only leaves nothing for a NativeHead; use LSTMHead or LinearHead")
        kept = _same_names(config.id2label, names["id2label"])
        _write_names(config, names)
        with reach(backbone.checkpoint, "weights"):
            model, info = AutoModelForSequenceClassification.from_pretrained(
                backbone.checkpoint, config=config, dtype="float32", ignore_mismatched_sizes=True, **shared
            )
        prefix = model.base_model_prefix
        new = tuple(name for name, _ in model.named_children() if name != prefix)
        # A pooler is missing from checkpoints that were pretrained without one: part of the head in all but name.
        check_loaded(backbone.checkpoint, info, (*(f"{name}." for name in new), f"{prefix}.pooler."))
        if not kept:
            _renew(model, new, config)
        _grow_embeddings(model, tokenizer, backbone)
        return model

    from .hub import TransferForSequenceClassification, TransferTextConfig
    from .hub.modeling_transfer import InputEmbeddings

    pooling, normalize = backbone.resolve_pooling(config)
    if backbone.embeddings_only and backbone.pooling == "auto":
        pooling, normalize = "mean", False
    if backbone.embeddings_only and pooling in ("pooler", "cls"):
        raise UserError(f"backbone.pooling {pooling!r} means nothing for input embeddings alone; use mean or max")
    with reach(backbone.checkpoint, "weights"):
        encoder, info = AutoModel.from_pretrained(backbone.checkpoint, config=config, dtype="float32", **shared)
    check_loaded(backbone.checkpoint, info, ("pooler.",))
    if pooling == "pooler":
        absent = [name for name in info["missing_keys"] if name.startswith("pooler.")]
        if absent or getattr(encoder, "pooler", None) is None:
            raise UserError(
                f"checkpoint {backbone.checkpoint!r} has no trained pooler; set backbone.pooling to cls, mean or max"
            )
    else:
        encoder.pooler = None
    _grow_embeddings(encoder, tokenizer, backbone)
    encoder_config = encoder.config  # a copy of `config`, with the vocabulary grown
    if backbone.embeddings_only:
        matrix = encoder.get_input_embeddings().weight
        encoder = InputEmbeddings(*matrix.shape)
        encoder.word_embeddings.weight.data.copy_(matrix.data)
    model_config = TransferTextConfig(
        backbone_config=encoder_config,
        head=_head_arguments(head),
        pooling=pooling,
        normalize=normalize,
        layer=backbone.layer,
        embeddings_only=backbone.embeddings_only,
        pad_token_id=tokenizer.pad_token_id,
        **names,
    )
    return TransferForSequenceClassification(model_config, backbone=encoder)


def _image_model(backbone, head, config, names, processor, trust_remote_code):
    from transformers import TimmWrapperForImageClassification, TimmWrapperModel

    net = _pretrained_net(backbone, config)
    exact = isinstance(head, NativeHead) or (
        isinstance(head, LinearHead) and head.dropout == 0 and backbone.pooling == "auto" and not _has_dense_top(net)
    )
    if exact and backbone.layer is None:
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
        raise UserError("a NativeHead reads the whole net; with backbone.layer use LinearHead, MLPHead or LSTMHead")

    from .hub import TransferForImageClassification, TransferImageConfig
    from .hub.modeling_transfer import cut

    model_config = TransferImageConfig(
        backbone_config=config,
        head=_head_arguments(head),
        pooling="pooler" if backbone.pooling == "auto" else backbone.pooling,
        layer=backbone.layer,
        pretrained_cfg=config.pretrained_cfg,
        architecture=config.architecture,
        **names,
    )
    wrapper = TimmWrapperModel(config)
    wrapper.timm_model.load_state_dict(net.state_dict())
    if backbone.layer is not None:
        stages = len(wrapper.timm_model.feature_info)
        if not 0 <= backbone.layer < stages:
            raise UserError(
                f"backbone.layer is {backbone.layer}; {backbone.checkpoint!r} has stages 0 to {stages - 1}"
            )
    model = TransferForImageClassification(model_config, backbone=cut(wrapper, model_config))
    return model.to(memory_format=torch.channels_last)


def _pretrained_net(backbone, config) -> nn.Module:
    """Load the checkpoint's timm net without its classifier, its first convolution fitted to `in_chans`."""
    import copy

    from transformers import TimmWrapperModel

    original = copy.deepcopy(config)
    original.model_args = {key: value for key, value in (config.model_args or {}).items() if key != "in_chans"} or None
    with reach(backbone.checkpoint, "weights"):
        wrapper, info = TimmWrapperModel.from_pretrained(
            backbone.checkpoint, revision=backbone.revision, config=original, dtype="float32", output_loading_info=True
        )
    check_loaded(backbone.checkpoint, info, ())
    net = wrapper.timm_model
    if backbone.in_chans == 3:
        return net
    from timm.models import adapt_input_conv

    first = config.pretrained_cfg.get("first_conv")
    if not isinstance(first, str):
        raise UserError(
            f"backbone.in_chans: timm's {config.architecture!r} does not say which is its first convolution"
        )
    adapted = TimmWrapperModel(config).timm_model
    weights = net.state_dict()
    weights[f"{first}.weight"] = adapt_input_conv(backbone.in_chans, weights[f"{first}.weight"])
    adapted.load_state_dict(weights)
    return adapted


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


def _renew(model, children: tuple[str, ...], config) -> None:
    """Give the head fresh weights: one that was trained on other classes must not pass for knowledge about these."""
    fresh = type(model)(config)
    for name in children:
        setattr(model, name, getattr(fresh, name))


def _grow_embeddings(model, tokenizer, backbone) -> None:
    if backbone.add_tokens and len(tokenizer) > model.get_input_embeddings().num_embeddings:
        with quiet():
            model.resize_token_embeddings(len(tokenizer))
