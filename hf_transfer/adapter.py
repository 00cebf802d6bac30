"""Low-rank updates that are saved apart from the weights they update: peft's adapter, and the way back.

The folder holds `adapter_config.json`, which names the base checkpoint, `adapter_model.safetensors` with the updates
and the head, and `config.json` with the class names.
"""

import json
import warnings
from pathlib import Path

from .backbones.checkpoint import quiet
from .errors import UserError
from .scrub import is_path
from .stages import stages_of

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."  # what peft writes before every name


def saves_adapter(recipe) -> bool:
    """Whether what a recipe leaves behind is an adapter."""
    return not getattr(stages_of(recipe)[-1].recipe.strategy, "merge", True)


def check_base(recipe, start) -> None:
    """Refuse an adapter to weights that a stranger could not load by the checkpoint's name.

    Args:
        recipe (`Recipe`): what is trained.
        start (`Start`, *optional*): the finished model that goes on.
    """
    if not saves_adapter(recipe):
        return
    backbone, several = recipe.backbone, isinstance(recipe.strategy, tuple)
    if start is not None or several or backbone.finished() is not None:
        what = "--start_from" if start is not None else "a stage before it" if several else "a finished run's encoder"
        raise UserError(
            f"strategy.merge is false, and with {what} the updated weights are not those of "
            f"{backbone.checkpoint!r}, which the adapter would name; set strategy.merge to true"
        )


def holds_updates(model) -> bool:
    """Whether updates still stand beside the weights of a model."""
    return any(".lora_" in name for name, _ in model.named_parameters())


def save_adapter(model, backbone: dict, folder: Path) -> None:
    """Write the adapter of a model that still holds its updates.

    Args:
        model (`PreTrainedModel`): as `LoRA(merge=False)` left it.
        backbone (`dict`): of recipe.json: `checkpoint` and `revision` are the base.
        folder (`Path`): exists.
    """
    from safetensors.torch import save_file

    config = model.peft_config["default"]
    config.base_model_name_or_path, config.revision = backbone["checkpoint"], backbone["revision"]
    config.inference_mode = True
    model.config.save_pretrained(folder)
    config.save_pretrained(folder)
    whole = tuple(f"{name}." for name in config.modules_to_save)
    tensors = {
        _PREFIX + name.replace(".default.", "."): tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if ".lora_" in name or name.startswith(whole)
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def load_adapter(folder: Path, auto):
    """Load base and adapter, the updates added into the weights.

    Args:
        folder (`Path`): of a finished run.
        auto (`type`): the Auto class of the model.

    Returns:
        `PreTrainedModel`: the plain model.

    Raises:
        `UserError`: peft is absent, the base cannot be loaded, or a weight of the adapter is missing.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise UserError(
            f"{folder} holds an adapter, which needs peft: pip install 'hf-transfer-recipes[lora]'"
        ) from error
    from safetensors import safe_open
    from transformers import AutoConfig

    settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    base = settings["base_model_name_or_path"]
    try:
        with quiet():
            model = auto.from_pretrained(
                base,
                revision=settings.get("revision"),
                config=AutoConfig.from_pretrained(folder),
                ignore_mismatched_sizes=True,  # the base's own head has other classes; the adapter brings ours
                dtype="float32",
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder} updates {base!r}, which cannot be loaded: {str(error).splitlines()[0]}") from error
    with safe_open(folder / WEIGHTS, "pt") as file:
        brought = {name.removeprefix(_PREFIX) for name in file.keys()}  # noqa: SIM118  not a dict
    heads = tuple(f"{name}." for name in settings["modules_to_save"])
    missing = sorted(name for name in model.state_dict() if name.startswith(heads) and name not in brought)
    if missing:
        raise UserError(f"{folder}: the weights do not fit the model, missing keys: {missing[0]}")
    with warnings.catch_warnings():
        # peft 0.21 reads `is_gradient_checkpointing`, which transformers 5.23 has renamed; nobody here can act on it.
        warnings.simplefilter("ignore", FutureWarning)
        return PeftModel.from_pretrained(model, folder).merge_and_unload().eval()


def snippet(modality: str, base: str, example: str) -> str:
    """Return the Python lines that load an adapter without this package; `MODEL` is its folder or Hub id."""
    name = "AutoModelForImageClassification" if modality == "image" else "AutoModelForSequenceClassification"
    reader = "AutoImageProcessor" if modality == "image" else "AutoTokenizer"
    reads = (
        f'processor = AutoImageProcessor.from_pretrained("{base}")\ninputs = processor({example}, return_tensors="pt")'
        if modality == "image"
        else 'tokenizer = AutoTokenizer.from_pretrained("MODEL")\n'
        f'inputs = tokenizer({example}, truncation=True, return_tensors="pt")'
    )
    first = "from PIL import Image\n" if modality == "image" else ""
    return (
        f"{first}from peft import PeftModel  # MODEL: a folder or Hub id\n"
        f"from transformers import AutoConfig, {name}, {reader}\n\n"
        'config = AutoConfig.from_pretrained("MODEL")\n'
        f'base = {name}.from_pretrained("{base}", config=config, ignore_mismatched_sizes=True)\n'
        'model = PeftModel.from_pretrained(base, "MODEL").eval()\n'
        f"{reads}\n"
        "print(config.id2label[model(**inputs).logits.argmax(-1).item()])"
    )


def check_pushable(folder: Path) -> None:
    """Refuse to push an adapter whose base nobody else has."""
    if not (folder / CONFIG).is_file():
        return
    base = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    if base is None or is_path(base) or Path(base).exists():
        raise UserError(
            f"{folder} is an adapter to {base!r}, a folder of this machine that nobody else could load it with; train "
            "it on a checkpoint of the Hub, or with strategy.merge true, then push"
        )
