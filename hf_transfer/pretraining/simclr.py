"""SimCLR (Chen et al. 2020) for timm nets, convolutional or transformer."""

from pathlib import Path

import torch
from torch import nn
from transformers.modeling_outputs import ImageClassifierOutput

from ..assembly.images import pretrained_net
from ..backbones.checkpoint import quiet
from ..errors import UserError
from ..objectives.step_loss import StepLoss
from ..precision import kind_of
from ..saving import save_model
from .contrast import NTXentLoss
from .task import Task
from .views import Views, collate_views, view_transform


class Pooled(nn.Module):
    """A timm net whose `logits` are its pooled features: what a projection head reads."""

    main_input_name = "pixel_values"

    def __init__(self, net):
        super().__init__()
        self.net, self.config = net, net.config

    def forward(self, pixel_values):
        return ImageClassifierOutput(logits=self.net(pixel_values).pooler_output)


def open_task(recipe, splits, order, seed: int) -> Task:
    """Build model and views.

    Args:
        recipe (`Recipe`): of `RawImages` and a `ProjectionHead`.
        splits (`RawSplits`): images.
        order (`Order`): of the run.
        seed (`int`): of the views in training.

    Raises:
        `UserError`: the checkpoint is no whole timm net, its augmentation is off, or a split has a single image.
    """
    backbone = recipe.backbone
    for name in ("train", "validation"):
        if len(getattr(splits, name)) < 2:
            raise UserError(f"{name} has a single image, and NT-Xent tells images apart; give two or more")
    processor = backbone.processor()
    transform = view_transform(backbone, processor)
    model = build_model(backbone)
    validation = Views(splits.validation, backbone, transform, recipe.data.split_seed, fixed=True)
    with torch.no_grad():
        sample = torch.stack(validation[0])
        width = model.eval()(sample).logits.shape[1]
    model.train()
    lines = [f"the projection head is thrown away; validation keeps its views (seed {recipe.data.split_seed})"]
    norms = [name for name, one in model.named_modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    if norms and order.state.num_processes > 1:
        lines.append(
            "the net has BatchNorm, whose statistics each process takes over its own images: several processes train "
            "a little differently than one"
        )
    return Task(
        model=model,
        objective=StepLoss(NTXentLoss(width, recipe.head)),
        train=Views(splits.train, backbone, transform, seed),
        validation=validation,
        collate=collate_views,
        figures=lambda loss: {"loss": loss},
        headline="loss",
        shown=("loss",),
        save=lambda folder, resolved: save_model(model.net, processor, resolved, folder),
        reload=_reload,
        kind=kind_of(model),
        lines=tuple(lines),
        about={"projection": "not saved"},
    )


def build_model(backbone) -> Pooled:
    """Load the checkpoint's timm net without its classifier.

    Raises:
        `UserError`: it was cut, or has dense layers on top that a run of ours took off.
    """
    from transformers import TimmWrapperModel

    config, finished = backbone.load_config(), backbone.finished()
    if finished is not None and finished.layer is not None:
        raise UserError(f"checkpoint {backbone.checkpoint!r} is cut after stage {finished.layer}; take a whole net")
    net = pretrained_net(backbone, config, finished)
    model = TimmWrapperModel(config)
    missing, extra = model.timm_model.load_state_dict(net.state_dict(), strict=False)
    if missing or extra:
        raise UserError(f"checkpoint {backbone.checkpoint!r} does not fit timm's {config.architecture!r}")
    return Pooled(model.float().to(memory_format=torch.channels_last).train())


def _reload(folder: Path) -> Pooled:
    from transformers import AutoModel

    with quiet():
        return Pooled(AutoModel.from_pretrained(folder)).eval()
