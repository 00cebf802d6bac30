"""A model as it will be pushed: safetensors and JSON, and for our own classes the code that loads them."""

from pathlib import Path

from .adapter import holds_updates, save_adapter
from .backbones.checkpoint import quiet
from .jsonfile import write_json

AUTO_CLASSES = {
    "transfer_text": "AutoModelForSequenceClassification",
    "transfer_fused": "AutoModelForSequenceClassification",
    "transfer_multi_task": "AutoModel",
}


def save_model(model, processor, recipe_data: dict, folder: Path) -> None:
    """Write model, processor and `recipe.json` to `folder`.

    A stock class needs nothing of ours. For the others the flat files of `hf_transfer/hub/` go along, and `auto_map`
    in `config.json` tells a stranger's Auto classes to use them.
    """
    if model.config.model_type.startswith("transfer_"):
        auto = (
            "AutoModelForImageClassification" if reads_images_alone(model) else AUTO_CLASSES[model.config.model_type]
        )
        type(model).register_for_auto_class(auto)
        type(model.config).register_for_auto_class()
    if holds_updates(model):
        save_adapter(model, recipe_data["backbone"], folder)
    else:
        with quiet():
            model.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):
        # Written through a private temporary file; whoever may read the configuration may read the weights.
        weights.chmod((folder / "config.json").stat().st_mode)
    if isinstance(processor, dict):
        for name, one in processor.items():
            save_part(one, model.parts[name], folder / name)
    elif model.main_input_name != "pixel_values":  # timm's image settings are in config.json
        processor.save_pretrained(folder)
    write_json(folder / "recipe.json", recipe_data)


def reads_images_alone(model) -> bool:
    """Whether a model of ours reads images and no texts: which Auto class it is loaded by."""
    parts = getattr(model.config, "parts", None)
    kinds = {part.model_type for part in parts.values()} if parts else {model.config.model_type}
    return kinds == {"transfer_image"}


def save_part(processor, model, folder: Path) -> None:
    """Write what prepares the inputs of one part of a fused model: a tokenizer's files, or for an image net the
    settings that `AutoImageProcessor` reads."""
    folder.mkdir()
    if model.main_input_name == "pixel_values":
        config = model.config
        settings = {
            "model_type": "timm_wrapper",
            "image_processor_type": "TimmWrapperImageProcessor",
            "architecture": config.architecture,
            "pretrained_cfg": config.pretrained_cfg,
        }
        write_json(folder / "config.json", settings)
    else:
        processor.save_pretrained(folder)
