"""`hf-transfer adapt`: which cheap method brings a model from one domain to another."""

from dataclasses import replace
from pathlib import Path

from ..data.source_target import SourceTarget
from ..data.spec import ImageClassification, TextClassification
from ..errors import UserError
from ..flags import Flag, apply_overrides, parse_flags, recipe_flags
from .common import TRACEBACK, TRUST, helped

# The default of each kind is that of the shipped recipes.
BACKBONES = {"text": "sentence-transformers/all-MiniLM-L6-v2", "image": "timm/efficientnet_b0.ra_in1k"}
FLAGS = {
    flag.name: flag
    for flag in (
        Flag("source", ("str",), help="labelled rows: a table of texts, a folder of class folders, or a Hub id"),
        Flag("target", ("str",), help="rows of the domain that the model is for; labels are not needed, nor read"),
        Flag("test", ("str", "float"), help="labelled target rows to measure on, or the fraction to cut off"),
        Flag("target_labels", ("bool",), help="read the labels that target rows have, and try what learns from them"),
        Flag("backbone", ("str",), help=f"checkpoint; by default {BACKBONES['text']} or {BACKBONES['image']}"),
        Flag("images", ("bool",), help="the rows are images, where the name of --source does not say so"),
        Flag(
            "criterion",
            ("str",),
            default="mutual_information",
            help="what ranks the methods, without a target label",
        ),
        TRUST,
        TRACEBACK,
    )
}
# How a run learns what a method of the table did.
RECIPES = {
    "source_only": "adaptation/source_only_{kind}",
    "scale": "adaptation/source_only_{kind} --data.align scale",
    "coral": "adaptation/coral_{kind}",
    "kmm": "adaptation/reweighted_kmm_{kind}",
    "tradaboost": "adaptation/tradaboost_{kind} --data.target.train_per_class none",
}
# What has no recipe: the value that a recipe of one's own needs, or what comes near.
OTHERS = {
    "kliep": "adaptation/reweighted_kmm_{kind} with weights=KLIEP(), in a file of your own",
    "density_ratio": "adaptation/reweighted_kmm_{kind} with weights=DensityRatio(), in a file of your own",
    "self_training": "adaptation/self_training_{kind} comes near: the same idea, the whole backbone trained",
    "scale+self_training": "no recipe does this; adaptation/self_training_{kind} trains the whole backbone",
    "coral+self_training": "no recipe does this; adaptation/self_training_{kind} trains the whole backbone",
    "target_only": "a recipe for the target alone: --data.train names its labelled rows",
}


def main(words: list[str]) -> None:
    usage = "hf-transfer adapt --source A --target B [--test C]"
    text = (
        "Record features of both domains once, try the cheap methods on them (moved features, weighted source rows, "
        "self-training), and rank them without a target label. Columns: --data.source.label stars, "
        "--data.target.text body, and whatever else `hf-transfer run adaptation/source_only_text --help` lists."
    )
    if helped(words, usage, text, FLAGS):
        return
    recipe = _recipe(_images(words))
    known = {**{name: flag for name, flag in recipe_flags(recipe).items() if name.startswith(_TAKEN)}, **FLAGS}
    values = parse_flags(words, known)
    own = {name: values.pop(name, FLAGS[name].default) for name in FLAGS}
    for name in ("source", "target"):
        if not own[name]:
            raise UserError(f"--{name} is missing: {usage}")
    recipe = _named(recipe, own)
    recipe, _ = apply_overrides(recipe, values)

    from ..adaptation.trying import try_cheap
    from ..network import go_offline_if_unreachable

    if not all(Path(one).exists() for one in (own["source"], own["target"], recipe.backbone.checkpoint)):
        go_offline_if_unreachable()
    trial = try_cheap(recipe, own["criterion"], print, bool(own["trust_remote_code"]))
    for line in _lines(trial, recipe, own):
        print(line)


_WHEN = {"before": "as recorded", "scale": "after scale", "coral": "after coral"}
_TAKEN = ("data.source.", "data.target.", "backbone.")


def _images(words: list[str]) -> bool:
    """Whether the rows are images: said so, or the source is a folder."""
    if "--images" in words:
        return True
    given = [word.removeprefix("--source=") for word in words if word.startswith("--source=")]
    given += [after for word, after in zip(words, words[1:], strict=False) if word == "--source"]
    return bool(given) and Path(given[-1]).expanduser().is_dir()


def _recipe(images: bool):
    from ..backbones import ImageBackbone, TextBackbone
    from ..heads import LinearHead
    from ..recipe import Recipe
    from ..strategies import FrozenFeatures

    kind = ImageClassification if images else TextClassification
    backbone = ImageBackbone(BACKBONES["image"]) if images else TextBackbone(BACKBONES["text"])
    data = SourceTarget(kind("source"), kind("target"))
    return Recipe("the cheap methods across domains", data, backbone, head=LinearHead(), strategy=FrozenFeatures())


def _named(recipe, own: dict):
    """Put in what the short flags name."""
    data = replace(
        recipe.data,
        source=replace(recipe.data.source, train=own["source"]),
        target=replace(recipe.data.target, train=own["target"]),
        test=own["test"],
        target_labels=bool(own["target_labels"]),
        selection="source",  # every fifth label is held out by the methods that read them
    )
    backbone = recipe.backbone if own["backbone"] is None else replace(recipe.backbone, checkpoint=own["backbone"])
    return replace(recipe, data=data, backbone=backbone)


def _lines(trial, recipe, own: dict) -> list[str]:
    from ..results import align

    shown = trial.criterion.replace("_", " ")
    measured = bool(trial.accuracy)
    rows = [["method", shown, "worth, rows", "seconds", *(["target accuracy"] if measured else [])]]
    for one in trial.tried:
        size = one.about.get("effective_sample_size")
        accuracy = [f"{trial.accuracy[one.name]:.4f}"] if measured else []
        worth = "" if size is None else f"{size:.0f}"
        rows.append([one.name, f"{one.criteria[trial.criterion]:.4f}", worth, f"{one.seconds:.1f}", *accuracy])
    best = trial.tried[0].name
    lines = [*(f"note: {note}" for note in trial.notes), "", align(rows), ""]
    lines.append(
        f"features {trial.features_s:.1f} s (recorded, so that other runs find them), methods {trial.seconds:.1f} s"
    )
    lines.append(f"chosen       {best}, by {shown}, which no target label is in")
    if measured:
        lines.append(
            "             (target accuracy was measured afterwards: to choose by it is to choose by the test)"
        )
        lines.append(f"             {trial.verdict}")
    if trial.a_distance:
        told = ", ".join(f"{value:.2f} {_WHEN[name]}" for name, value in trial.a_distance.items())
        lines.append(f"A-distance   {told} (0: a classifier cannot tell the domains apart; 2: it always can)")
    kind = recipe.backbone.modality
    if best in RECIPES:
        named = f"--data.source {own['source']} --data.target {own['target']}"
        named += f" --data.test {own['test']}" if own["test"] is not None else ""
        lines.append(
            f"to train it  hf-transfer run {RECIPES[best].format(kind=kind)} {named} --backbone.checkpoint "
            f"{recipe.backbone.checkpoint}"
        )
    else:
        lines.append(f"to train it  {OTHERS[best].format(kind=kind)}")
    return lines
