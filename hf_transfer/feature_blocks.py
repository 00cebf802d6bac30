"""Where in a model feature maps can be read: the blocks of an encoder, the stages of a timm net."""

from torch import nn

from .backbones.text import block_list
from .objectives.terms import Blocks


def feature_blocks(model: nn.Module) -> Blocks:
    """Return the modules whose outputs are the feature maps of a stock model or of one of ours; none for input
    embeddings alone."""
    place = next((name for name, _ in model.named_modules() if name.rpartition(".")[2] == "timm_model"), None)
    if place is not None:
        return _of_net(model.get_submodule(place), place)
    base = model.base_model
    found = block_list(base, model.config) if hasattr(base, "config") else None
    if found is None:
        return Blocks()
    prefix = f"{model.base_model_prefix}.{found}"
    return Blocks(tuple(f"{prefix}.{number}" for number in range(len(base.get_submodule(found)))))


def _of_net(net: nn.Module, place: str) -> Blocks:
    """timm lists the last module of each scale, or every block where all are of one scale, as in a ViT."""
    there = dict(net.named_modules())
    # A net that was cut after a stage still lists the stages above.
    infos = [one for one in net.feature_info if not isinstance(there.get(one["module"]), nn.Identity | None)]
    return Blocks(
        names=tuple(f"{place}.{one['module']}" for one in infos),
        stages=len({one["reduction"] for one in infos}) > 1,
        channels_last=getattr(net, "output_fmt", "NCHW") == "NHWC",
    )
