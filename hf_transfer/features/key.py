"""What names a recording: everything that decides its bytes, and nothing else.

The weights themselves are hashed, not the checkpoint's name: the same name may hold other weights tomorrow, and new
token embeddings are drawn at random. So are the rows as the backbone gets them, which covers tokenizer, `max_length`
and pairs without listing them.
"""

import json
from hashlib import blake2b

import numpy as np
import torch

FORMAT = 2  # raise it when older recordings can no longer be read, or the same identity gives other bytes
_NOT_OF_THE_BACKBONE = (
    "id2label label2id num_labels problem_type label_names _name_or_path name_or_path transformers_version dtype "
    "torch_dtype architectures auto_map finetuning_task num_classes model_args"
).split()


def key_of(identity: dict) -> str:
    """Return the name of the recording that `identity` (JSON values) describes."""
    text = json.dumps({"format": FORMAT, **identity}, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def backbone_identity(model, keeps: tuple[str, ...]) -> dict:
    """Describe the frozen part of `model` as JSON values, a hash of its weights among them.

    Args:
        keeps (`tuple[str, ...]`): what is recorded: token states do not depend on a learned pooler.
    """
    if model.config.model_type == "timm_wrapper":
        net, config = model.timm_model, model.config
    elif model.base_model_prefix == "backbone":
        net, config = model.backbone, model.config.backbone_config
        net = getattr(net, "timm_model", net)
    else:
        net, config = model.base_model, model.config
    skipped = {id(parameter) for parameter in _classifier(net)}
    if keeps == ("tokens",) and getattr(net, "pooler", None) is not None:
        skipped |= {id(parameter) for parameter in net.pooler.parameters()}
    settings = {name: value for name, value in config.to_dict().items() if name not in _NOT_OF_THE_BACKBONE}
    settings = json.loads(json.dumps(settings, default=str))
    return {
        "class": type(net).__name__,
        "settings": settings,
        "layer": getattr(model.config, "layer", None),
        **_fusion_identity(model, keeps),
        "weights": _weights_digest(net, skipped),
    }


def _fusion_identity(model, keeps: tuple[str, ...]) -> dict:
    """Which layers are recorded, apart or as their mean, and how the backbone itself pooled them if it did."""
    fusion = getattr(model.config, "fusion", None)
    if fusion is None:
        return {}
    return {"fusion": dict(fusion), **({"pooled by": model.config.pooling} if keeps == ("pooled",) else {})}


def _classifier(net):
    return net.get_classifier().parameters() if hasattr(net, "get_classifier") and net.num_classes else ()


def _weights_digest(net, skipped: set[int]) -> str:
    digest = blake2b(digest_size=16)
    named = [*net.named_parameters(), *net.named_buffers()]
    for name, tensor in sorted(named, key=lambda pair: pair[0]):
        if id(tensor) not in skipped:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def tokens_digest(rows) -> str:
    """Hash encoded texts, a `datasets.Dataset`, as the encoder gets them, in order; labels do not count."""
    table = rows.with_format("arrow")[:]
    digest = blake2b(digest_size=16)
    for name in sorted(set(table.column_names) - {"label", "length"}):
        for chunk in table[name].chunks:
            counts, values = chunk.value_lengths().to_numpy(), chunk.flatten().to_numpy()
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(counts, dtype="<i8"))
            digest.update(np.ascontiguousarray(values, dtype="<i8"))
    return digest.hexdigest()
