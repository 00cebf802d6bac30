"""Two augmented views of each image: by seed, epoch and row alone, as the masks of texts are."""

import torch

from ..augmenting import own_draws
from ..errors import UserError
from .masking import FIXED


def view_transform(backbone, processor):
    """Return SimCLR's augmentation (Chen et al. 2020, appendix A) by timm: crop, mirror image, colour jitter, grey,
    blur.

    Raises:
        `UserError`: the backbone's augmentation is off, so that both views would be the same.
    """
    from timm.data import create_transform

    if backbone.augmentation == "none":
        raise UserError(
            "backbone.augmentation is 'none', and two views of an image would be the same; allowed: crop, crop_flip"
        )
    settings = dict(processor.data_config)
    for key in ("crop_pct", "crop_mode"):
        settings.pop(key, None)
    colour = backbone.in_chans == 3
    return create_transform(
        **settings,
        is_training=True,
        scale=(0.2, 1.0),  # the paper's 0.08 leaves a speck of the small images that many fine-tune on
        hflip=0.0 if backbone.augmentation == "crop" else 0.5,
        color_jitter=(0.4, 0.4, 0.4, 0.1) if colour else None,
        color_jitter_prob=0.8 if colour else None,
        grayscale_prob=0.2 if colour else None,
        gaussian_blur_prob=0.5,
    )


class Views(torch.utils.data.Dataset):
    """Images as two views each. Number `epoch * rows + row` is `row` with that epoch's views.

    Args:
        rows (`datasets.Dataset`): one column `image`.
        backbone (`ImageBackbone`): turns an image into the net's channels.
        transform (`Callable`): what [`view_transform`] returned.
        seed (`int`): of the views.
        fixed (`bool`): the same views in every epoch, for measuring.
    """

    def __init__(self, rows, backbone, transform, seed: int, fixed: bool = False):
        self.rows, self.backbone, self.transform, self.seed, self.fixed = rows, backbone, transform, seed, fixed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, row = divmod(number, len(self))
        image = self.backbone.as_channels(self.rows[row]["image"])
        with own_draws(self.seed, FIXED if self.fixed else epoch, row):
            return self.transform(image), self.transform(image)


def collate_views(rows: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """First views, then second ones; `labels` only count the images."""
    pixels = torch.stack([view for views in zip(*rows, strict=True) for view in views])
    return {"pixel_values": pixels.contiguous(memory_format=torch.channels_last), "labels": torch.arange(len(rows))}
