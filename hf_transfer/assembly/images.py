"""Image net + head -> model."""

import torch
from torch import nn

from ..backbones.checkpoint import check_loaded, reach
from ..backbones.finished import finished_backbone
from ..backbones.image import channels_of
from ..backbones.layer_fusion import NATIVE_READS_ONE
from ..errors import UserError
from ..heads import LinearHead, NativeHead
from .configuring import head_arguments, last_layer, with_head, write_names


def image_model(backbone, head, config, names, processor, trust_remote_code):
    """Build the stock class where the head is the net's own last layer or the same as it, else ours."""
    finished = backbone.finished(trust_remote_code)
    net = pretrained_net(backbone, config, finished)
    fusion = _image_fusion(backbone, head, net, finished)
    layer, pooling = None if fusion else _image_layer(backbone, finished, net), backbone.pooling
    if pooling == "auto":
        pooling = "pooler" if finished is None else finished.pooling
    # Of a model of ours, dense layers on top are gone, and the classifier of the stock class would miss them.
    whole = layer is None and fusion is None and (finished is None or not has_dense_top(net))
    probe = isinstance(head, LinearHead) and head.dropout == 0 and pooling == "pooler" and not has_dense_top(net)
    if whole and (isinstance(head, NativeHead) or probe):
        return _stock_model(backbone, config, names, net).to(memory_format=torch.channels_last)
    if isinstance(head, NativeHead):
        lost = f", and {backbone.checkpoint!r} holds a part of it" if backbone.layer is None else ""
        raise UserError(
            f"a NativeHead reads the whole net{lost}; with backbone.layer use LinearHead, MLPHead or LSTMHead"
        )
    parts = dict(pooling=pooling, layer=layer, fusion=fusion)
    model = _transfer_model(backbone, head, config, names, net, finished, parts)
    return model.to(memory_format=torch.channels_last)


def _stock_model(backbone, config, names, net) -> nn.Module:
    from transformers import TimmWrapperForImageClassification

    write_names(config, names)
    model = TimmWrapperForImageClassification(config)
    target = model.timm_model
    missing, unexpected = target.load_state_dict(net.state_dict(), strict=False)
    classifier = {id(parameter) for parameter in target.get_classifier().parameters()}
    own = {name for name, parameter in target.named_parameters() if id(parameter) in classifier}
    if set(missing) - own or unexpected:
        raise UserError(f"checkpoint {backbone.checkpoint!r} does not fit timm's {config.architecture!r}")
    return model


def _transfer_model(backbone, head, config, names, net, finished, parts: dict) -> nn.Module:
    """Build our class; `parts` is what config.json says of where the net ends and how its features are pooled."""
    from transformers import TimmWrapperModel

    from ..hub import TransferForImageClassification, TransferImageConfig
    from ..hub.modeling_transfer import cut

    model_config = TransferImageConfig(
        backbone_config=config,
        head=head_arguments(head),
        **parts,
        pretrained_cfg=config.pretrained_cfg,
        architecture=config.architecture,
        **names,
    )
    wrapper, layer = TimmWrapperModel(config), parts["layer"]
    if layer is not None:
        stages = _stages(wrapper.timm_model, finished)
        if not 0 <= layer < stages:
            raise UserError(f"backbone.layer is {layer}; {backbone.checkpoint!r} has stages 0 to {stages - 1}")
    if finished is not None:
        cut(wrapper, finished)
    wrapper.timm_model.load_state_dict(net.state_dict())
    return with_head(TransferForImageClassification, model_config, cut(wrapper, model_config))


def _stages(net, finished) -> int:
    """How many stages or blocks a net still has; a finished model of ours may have been cut."""
    if finished is not None and finished.layer is not None:
        return finished.layer + 1
    if finished is not None and finished.fusion is not None:
        return finished.fusion["layers"][-1] + 1
    return len(net.feature_info)


def _image_layer(backbone, finished, net) -> int | None:
    """Where the net ends; one that was fused lacks what lay above, and a pyramid of stages its last layers too."""
    from ..hub.modeling_transfer import blocks_alike

    if backbone.layer is not None or finished is None or finished.fusion is None:
        return last_layer(backbone, finished)
    stages = _stages(net, finished)
    return None if blocks_alike(net) and stages == len(net.feature_info) else stages - 1


def _image_fusion(backbone, head, net, finished) -> dict | None:
    """What config.json says of the fusion of an image net's layers.

    Raises:
        `UserError`: the net cannot say what its layers give, or the head cannot read their mix.
    """
    from ..hub.modeling_transfer import blocks_alike

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

    from ..hub.modeling_transfer import cut

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


def has_dense_top(net) -> bool:
    """Whether pooled features and classifier are separated by dense layers (VGG), so that stock is not a linear probe
    of the pooled convolutional features."""
    return isinstance(getattr(net, "pre_logits", None), nn.Module)
