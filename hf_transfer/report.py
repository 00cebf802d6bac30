"""What a run says before it starts, and what it measures on the model it saved."""

from .adapter import holds_updates, snippet
from .data import labels_of
from .objectives import WeightedSum
from .scoring import bootstrap_ci, compute_metrics, confusion, majority_baseline, per_class
from .strategies import Contrastive

FEW_ROWS = 1000  # below, what a seed decides is often more than what a method decides


def describe(name: str | None, recipe, splits, plans) -> list[str]:
    """Return the lines that tell what is about to be trained, on what, how and in which precision."""
    labels = splits.labels
    names = ", ".join(labels.names[:8]) + (", ..." if len(labels.names) > 8 else "")
    sizes = ", ".join(f"{len(getattr(splits, split))} {split}" for split in ("train", "validation", "test"))
    return [
        f"{name or 'recipe'}: {recipe.summary}",
        *_backbone_lines(recipe.backbone),
        f"  head       {type(recipe.head).__name__}",
        *(line for number, plan in enumerate(plans, 1) for line in stage_lines(plan, number, len(plans))),
        f"  labels     {labels.problem_type}: {names}",
        f"  rows       {sizes}",
        *(f"  note       {note}" for note in splits.notes),
    ]


def _fusion_line(backbone) -> list[str]:
    fusion = getattr(backbone, "fusion", None)
    if not hasattr(fusion, "fuses"):
        return []
    layers = "all" if fusion.layers is None else ", ".join(map(str, fusion.layers))
    return [f"  layers     {layers}; {fusion.method.replace('_', ' ')}"]


def _backbone_lines(backbone) -> list[str]:
    if not hasattr(backbone, "parts"):
        return [f"  backbone   {backbone.checkpoint}", *_fusion_line(backbone)]
    first, second = backbone.parts
    joined = f"{first} and {second} side by side"
    if backbone.fusion == "weighted":
        alpha = backbone.alpha
        joined = f"alpha * {first} + (1 - alpha) * {second}, alpha learned"
        joined = joined if alpha is None else f"{alpha:g} * {first} + {1 - alpha:g} * {second}"
    lines = [f"  {name:<9}  {_named(part)}" for name, part in backbone.parts.items()]
    return [*lines, f"  fusion     {joined}"]


def _named(part) -> str:
    """A part's checkpoint, and what of it is left out: both parts may be one checkpoint."""
    layer = getattr(part, "layer", None)
    what = "input embeddings alone" if getattr(part, "embeddings_only", False) else ""
    what = what or ("" if layer is None else f"cut at layer {layer}")
    return part.checkpoint + (f" ({what})" if what else "")


def stage_lines(plan, number: int, count: int) -> list[str]:
    title = "strategy" if count == 1 else f"stage {number}"
    return [
        f"  {title:<9}  {type(plan.recipe.strategy).__name__}; {plan.trainable:,} of {plan.total:,} parameters train",
        *_objective_line(plan.recipe),
        *(["  fit        L-BFGS on all rows at once"] if plan.fit == "lbfgs" else []),
        *(f"  dtype      {phase}: {one.dtype} ({one.reason})" for phase, one in plan.dtypes.items()),
    ]


def _objective_line(recipe) -> list[str]:
    """What is minimised where that is a sum; pairs are learnt by a loss of their own."""
    summed = isinstance(recipe.objective, WeightedSum) and not isinstance(recipe.strategy, Contrastive)
    return [f"  objective  {recipe.objective}"] if summed else []


def measure(predictor, splits, metrics, headline: tuple[str, bool]) -> dict:
    """Measure a saved and reloaded model: what is reported is what a stranger gets."""
    kind = splits.labels.problem_type
    name = headline[0]
    scores = {}
    for split in ("validation", "test"):
        rows = getattr(splits, split)
        truth = labels_of(rows)
        logits = predictor.logits(rows.remove_columns("label"), f"evaluate, {split}")
        scores[split] = compute_metrics(logits, truth, kind, metrics)
        intervals = bootstrap_ci(logits, truth, kind, name)
        scores[f"{split}_ci95"] = list(intervals)
    return {
        "headline": {"name": name, "value": scores["test"][name], "ci95": scores["test_ci95"]},
        "metrics": {"validation": scores["validation"], "test": scores["test"]},
        "validation_ci95": scores["validation_ci95"],
        "per_class": per_class(logits, truth, kind, splits.labels.names),
        "confusion": confusion(logits, truth, kind),
        "baselines": {"majority_class": majority_baseline(labels_of(splits.train), truth, kind)},
    }


def loading_snippet(model, recipe) -> str:
    """Return the Python lines that load the model from the Hub without this package.

    `MODEL` stands for a folder or a Hub id; a push puts the repository's name there (see `hub_card.named`).
    """
    if hasattr(recipe.backbone, "parts"):
        return fused_snippet(recipe.backbone)
    images = recipe.backbone.modality == "image"
    task = "image-classification" if images else "text-classification"
    remote = ", trust_remote_code=True" if model.config.model_type.startswith("transfer_") else ""
    example = '"photo.jpg"' if images else '"a text"'
    if getattr(recipe.data, "text_pair", None) is not None:
        example = '{"text": "a text", "text_pair": "the text beside it"}'
    if holds_updates(model):
        return snippet(recipe.backbone.modality, recipe.backbone.checkpoint, _example(recipe))
    # Of several labels per row the best one alone says too little.
    settings = ", top_k=None" if model.config.problem_type == "multi_label_classification" else ""
    settings += "" if images else ", truncation=True"
    return (
        "from transformers import pipeline\n\n"
        f'classify = pipeline("{task}", model="MODEL"{remote})  # MODEL: a folder or Hub id\n'
        f"print(classify({example}{settings}))"
    )


def _example(recipe) -> str:
    if recipe.backbone.modality == "image":
        return 'Image.open("photo.jpg").convert("RGB")'
    return '"a text", "the text beside it"' if getattr(recipe.data, "text_pair", None) is not None else '"a text"'


def fused_snippet(backbone) -> str:
    """The same for a fused model: no pipeline feeds two networks, so each part's inputs are made by its own processor,
    which lies in a folder of the part's name."""
    auto = "AutoModelForImageClassification" if backbone.modality == "image" else "AutoModelForSequenceClassification"
    kinds = {part.modality for part in backbone.parts.values()}
    names = [auto]
    names += ["AutoImageProcessor"] if "image" in kinds else []
    names += ["AutoTokenizer"] if "text" in kinds else []
    lines = [
        *(["from PIL import Image"] if "image" in kinds else []),
        f"from transformers import {', '.join(sorted(names))}",
        "",
        'folder = "MODEL"  # a folder or Hub id',
        f"model = {auto}.from_pretrained(folder, trust_remote_code=True)",
        "inputs = {}",
    ]
    for name, part in backbone.parts.items():
        if part.modality == "text":
            lines.append(f'{name} = AutoTokenizer.from_pretrained(folder, subfolder="{name}")')
            read = f'{name}("a text", truncation=True, return_tensors="pt")'
        else:
            lines.append(f'{name} = AutoImageProcessor.from_pretrained(folder, subfolder="{name}")')
            read = f'{name}(Image.open("photo.jpg").convert("RGB"), return_tensors="pt")'
        lines.append(f'inputs |= {{f"{name}_{{key}}": value for key, value in {read}.items()}}')
    lines += ["probabilities = model(**inputs).logits.softmax(-1)[0]", "print(model.config.id2label, probabilities)"]
    return "\n".join(lines)


def fit_line(fitted: dict) -> str:
    """Return the line that says how an L-BFGS fit ended."""
    tried = f", the best of {len(fitted['grid'])}" if len(fitted["grid"]) > 1 else ""
    line = (
        f"L-BFGS: {fitted['iterations']} iterations, l2 {fitted['l2']:.3g}{tried}; "
        f"train loss {fitted['train_loss']:.4f}, validation loss {fitted['validation_loss']:.4f}"
    )
    return line if fitted["converged"] else f"{line}; note: {fitted['note']}"


def environment(args, processes: int, dtypes: dict) -> dict:
    """Return the versions and the machine that the figures come from."""
    import platform

    import datasets
    import torch
    import transformers

    from . import __version__

    return {
        "hf_transfer_recipes": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "datasets": datasets.__version__,
        "device": torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else args.device.type,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "dtype": dtypes.get("train", "float32"),
        "features_dtype": " and ".join(
            dict.fromkeys(dtype for phase, dtype in dtypes.items() if phase.startswith("features"))
        )
        or None,
        "machine": platform.machine(),
    }


def how_to_use(folder, modality: str, rows: int) -> str:
    """Return the lines that say where the model is and how to use it.

    Args:
        rows (`int`): that it was trained on; of few, how to learn more than a single run can tell.
    """
    new = "photos/" if modality == "image" else "new.csv"
    lines = [
        f"The model is in {folder}",
        f"  predict     hf-transfer predict {folder} --input {new} --output predictions.csv",
        f'  in Python   from hf_transfer import load; load("{folder}").predict([...])',
        f"  try, share  hf-transfer demo {folder}; hf-transfer push {folder} user/name",
    ]
    if rows < FEW_ROWS:
        lines.append(
            f"  {rows} labelled rows: one run says little, the seed alone moves it; --seeds 5 gives mean and spread, "
            "and keeps the best on validation"
        )
    return "\n".join(lines)


def how_to_use_tasks(folder, modality: str, tasks) -> str:
    """The same of a model of several tasks."""
    task, new = next(iter(tasks)), "photos/" if modality == "image" else "new.csv"
    return (
        f"The model is in {folder}\n"
        f"  predict     hf-transfer predict {folder} --task {task} --input {new} --output predictions.csv\n"
        f'  in Python   from hf_transfer import load; load("{folder}")["{task}"].predict([...])\n'
        f"  one task    hf-transfer export {folder} --task {task} --output {folder}-{task}\n"
        f"  share       hf-transfer push {folder} user/name"
    )
