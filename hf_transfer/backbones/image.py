"""Image nets: a spec, and what is specific to timm."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UserError
from .config import finished_config, load_config
from .layer_fusion import LayerFusion, check_fusion

AUGMENTATIONS = ("auto", "none", "crop", "crop_flip")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class ImageBackbone:
    """A timm net from the Hub or from a folder.

    Args:
        checkpoint (`str`): Hub id such as `timm/resnet18.a1_in1k`, or a folder with timm's `config.json` and weights.
            Of a model that a run of ours left behind, its net is taken, and its head is left out.
        revision (`str`, *optional*): branch, tag or commit of a Hub id; pin it to make a run repeatable.
        image_size (`int`, *optional*): side in pixels; by default what the checkpoint was trained for.
        in_chans (`int`): channels: 3 (RGB), 1 (grey), 4 (RGBA), or as many as the pages of multi-band TIFF files;
            pretrained weights are adapted. transformers' own image pipeline feeds RGB alone, so such a model predicts
            through this package.
        layer (`int`, *optional*): read the feature map of this stage, counted from 0, and leave the stages above out.
            By default the last one that the checkpoint has.
        pooling (`str`): `"auto"` is the net's own global pooling, or what a finished run of ours used; or `"mean"`,
            `"max"`, `"attention"` over positions.
        augmentation (`str`): for training: `"auto"` is `"crop_flip"` for a trained backbone and `"none"` for a frozen
            one; `"crop"` leaves mirroring out, which changes what a digit or a letter says.
        fusion (`LayerFusion`, *optional*): a mix of blocks or stages takes the place of the last one.
    """

    checkpoint: str
    revision: str | None = None
    image_size: int | None = None
    in_chans: int = 3
    layer: int | None = None
    pooling: str = "auto"
    augmentation: str = "auto"
    fusion: LayerFusion | None = None

    def __post_init__(self):
        object.__setattr__(self, "checkpoint", str(self.checkpoint))
        if self.in_chans < 1:
            raise UserError(f"backbone.in_chans is {self.in_chans}; it must be at least 1")
        if self.augmentation not in AUGMENTATIONS:
            raise UserError(f"backbone.augmentation is {self.augmentation!r}; allowed: {', '.join(AUGMENTATIONS)}")
        if self.pooling not in ("auto", "mean", "max", "attention"):
            raise UserError(f"backbone.pooling is {self.pooling!r}; allowed: auto, mean, max, attention")
        if self.image_size is not None and self.image_size < 8:
            raise UserError(f"backbone.image_size is {self.image_size}; it must be at least 8")
        check_fusion(self)

    @property
    def modality(self) -> str:
        return "image"

    def finished(self, trust_remote_code: bool = False):
        """Load the configuration of a model of ours (net and a head that is not the stock one).

        Args:
            trust_remote_code (`bool`): no timm net needs code of its checkpoint, so none is run in any case.

        Returns:
            `TransferImageConfig`; `None` for any other checkpoint.
        """
        config = finished_config(self.checkpoint, load_config(self.checkpoint, self.revision))
        return config if config is not None and config.model_type == "transfer_image" else None

    def stored_config(self):
        """Load the net's configuration as the checkpoint has it, channels and image size too.

        Raises:
            `UserError`: no such checkpoint, or not a timm net.
        """
        from timm import is_model
        from transformers import TimmWrapperConfig

        config = load_config(self.checkpoint, self.revision)
        finished = finished_config(self.checkpoint, config)
        config = config if finished is None else finished.backbone_config
        if not isinstance(config, TimmWrapperConfig):
            raise UserError(
                f"checkpoint {self.checkpoint!r} is a {config.model_type!r} model, not a timm image net; "
                "a vision recipe needs one, such as timm/resnet18.a1_in1k"
            )
        if not is_model(config.architecture):  # timm would take a name with a prefix for a place to load from
            raise UserError(
                f"checkpoint {self.checkpoint!r} is a net that this timm does not have: {config.architecture!r}; "
                "`pip install -U timm` may bring it"
            )
        return config

    def load_config(self, trust_remote_code: bool = False):
        """Load the checkpoint's configuration with this spec's channels and image size written into it.

        Args:
            trust_remote_code (`bool`): as for [`finished`].

        Raises:
            `UserError`: no such checkpoint, not a timm net, or one that reads other channels.
        """
        from timm import get_pretrained_cfg

        config = self.stored_config()
        channels = channels_of(config)
        if channels not in (3, self.in_chans):
            raise UserError(
                f"backbone.in_chans is {self.in_chans}; the net of checkpoint {self.checkpoint!r} reads {channels} "
                f"channel{'s' * (channels != 1)} and only RGB weights can be adapted: add "
                f"--backbone.in_chans {channels}"
            )
        # `save_for_hf` may leave the class count here, and the wrapper then passes it twice.
        arguments = {key: value for key, value in (config.model_args or {}).items() if key != "num_classes"}
        cfg = dict(getattr(config, "pretrained_cfg", None) or {})
        if not cfg:
            known = get_pretrained_cfg(config.architecture)
            cfg = known.to_dict() if known else {}
        cfg.pop("num_classes", None)
        _, height, width = cfg.get("input_size") or (3, 224, 224)
        if self.image_size is not None:
            height = width = self.image_size
            cfg["test_input_size"] = None
        cfg["input_size"] = [self.in_chans, height, width]
        if self.in_chans != channels:
            arguments["in_chans"] = self.in_chans
            for key in ("mean", "std"):
                values = cfg.get(key) or (0.5, 0.5, 0.5)
                cfg[key] = [sum(values) / len(values)] * self.in_chans
        config.model_args, config.pretrained_cfg = arguments or None, cfg
        return config

    def processor(self, trust_remote_code: bool = False):
        """Build timm's evaluation transform as transformers' `TimmWrapperImageProcessor`."""
        from transformers import TimmWrapperImageProcessor

        config = self.load_config(trust_remote_code)
        return TimmWrapperImageProcessor(pretrained_cfg=config.pretrained_cfg, architecture=config.architecture)

    def preprocess(self, rows: Mapping[str, list], processor) -> dict:
        """Decode and transform a batch: list `image` to `pixel_values` of shape `(batch, channels, height, width)`."""
        import torch

        images = [self.as_channels(image) for image in rows["image"]]
        return {"pixel_values": torch.stack([processor.val_transforms(image) for image in images])}

    def keeps_bytes(self, processor) -> bool:
        """Whether the evaluation transform is a change of shape followed by `/ 255` and normalisation alone, so that
        the resized picture can be kept as bytes."""
        names = [type(step).__name__ for step in processor.val_transforms.transforms]
        return self.in_chans in MODES and names[-2:] == ["MaybeToTensor", "Normalize"]

    def resizing(self, processor) -> str:
        """Name the first part of the evaluation transform, which is all that decides the bytes."""
        return str([str(step) for step in processor.val_transforms.transforms[:-2]])

    def resize(self, image, processor):
        """First part of the evaluation transform: a `PIL.Image` to `uint8` of shape `(height, width, channels)`.

        Raises:
            `OSError`: the image is damaged.
        """
        import numpy as np

        picture = self.as_colours(image)
        for step in processor.val_transforms.transforms[:-2]:
            picture = step(picture)
        pixels = np.asarray(picture)
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def normalise(self, pixels, processor):
        """Second part: `uint8` of shape `(batch, height, width, channels)` to `pixel_values`, channels last in memory.

        Both parts together give the very numbers of [`preprocess`].
        """
        import torch

        values = pixels.permute(0, 3, 1, 2).to(torch.float32).div(255)
        return processor.val_transforms.transforms[-1](values).contiguous(memory_format=torch.channels_last)

    def as_channels(self, image):
        """Convert a `PIL.Image` to the net's channels: by colour mode, or one page of a multi-band TIFF for each.

        Raises:
            `UserError`: a multi-band image has another number of pages.
        """
        if self.in_chans in MODES:
            return self.as_colours(image)  # of an animation, the first picture
        pages = getattr(image, "n_frames", 1)
        if pages != self.in_chans:
            name = getattr(image, "filename", "") or "an image"
            raise UserError(f"{name} has {pages} page{'s' * (pages != 1)}; backbone.in_chans asks for {self.in_chans}")
        return _stack_pages(image)

    def as_colours(self, image):
        """Convert a `PIL.Image` of any mode to the net's channels; transparency is laid on white."""
        mode = MODES[self.in_chans]
        if image.mode == "P" or (image.mode in ("RGBA", "LA", "PA") and mode != "RGBA"):
            from PIL import Image

            image = image.convert("RGBA")
            if mode != "RGBA":
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        if image.mode.startswith("I") or image.mode == "F":
            image = _to_eight_bits(image)
        return image.convert(mode)

    def training_transform(self, processor):
        """Build what augments an image for training; it draws from the global generators."""
        from timm.data import create_transform

        if self.augmentation == "none":
            return processor.val_transforms
        settings = dict(processor.data_config)
        for key in ("crop_pct", "crop_mode"):
            settings.pop(key, None)
        return create_transform(
            **settings,
            is_training=True,
            scale=(0.6, 1.0),
            hflip=0.5 if self.augmentation == "crop_flip" else 0.0,
            color_jitter=None,
        )

    def depths(self, model) -> dict[str, int]:
        """Map each parameter name to 0 (stem), 1..n (timm's groups of blocks, and the final norm) or n + 1 (head)."""
        from timm.models import group_parameters

        prefix = next(name for name, module in model.named_modules() if name.split(".")[-1] == "timm_model")
        net = model.get_submodule(prefix)
        head = {id(parameter) for parameter in net.get_classifier().parameters()} if net.num_classes else set()
        groups = group_parameters(net, net.group_matcher(coarse=True))
        order = {name: depth for depth, names in groups.items() for name in names}
        inner = [name for name, parameter in net.named_parameters() if id(parameter) not in head]
        ranks = {depth: rank for rank, depth in enumerate(sorted({order[name] for name in inner}))}
        top = max(ranks.values(), default=0) + 1
        result = dict.fromkeys((name for name, _ in model.named_parameters()), top)
        result.update({f"{prefix}.{name}": ranks[order[name]] for name in inner})
        return result


def channels_of(config) -> int:
    """How many channels the weights of a net were made for, by its stored configuration."""
    return (config.model_args or {}).get("in_chans", 3)


def _stack_pages(image):
    """One channel per page, a float tensor of shape `(pages, height, width)` from 0 to 1, as `ToTensor` would give."""
    import numpy as np
    import torch

    pages = []
    for number in range(image.n_frames):
        image.seek(number)
        page = _to_eight_bits(image) if image.mode.startswith("I") or image.mode == "F" else image.convert("L")
        pages.append(np.asarray(page, dtype=np.float32) / 255)
    return torch.from_numpy(np.stack(pages))


def _to_eight_bits(image):
    """Bring 16 and 32 bit grey to 8 bits; PIL's own conversion would clip everything above 255 to white."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image, dtype=np.float32)
    if values.max(initial=0) > 255:
        values = values / 257  # 65535 / 255
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
