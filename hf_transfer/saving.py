"""A model as it will be pushed: safetensors and JSON, and for our own classes the code that loads them."""

import json
import os
from pathlib import Path

from .backbones.checkpoint import quiet


def save_model(model, processor, recipe_data: dict, folder: Path) -> None:
    """Write model, processor and `recipe.json` to `folder`.

    A stock class needs nothing of ours. For the others the flat files of `hf_transfer/hub/` go along, and `auto_map`
    in `config.json` tells a stranger's Auto classes to use them.
    """
    if model.config.model_type.startswith("transfer_"):
        kind = "Image" if model.config.model_type == "transfer_image" else "Sequence"
        type(model).register_for_auto_class(f"AutoModelFor{kind}Classification")
        type(model.config).register_for_auto_class()
    with quiet():
        model.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):
        # Written through a private temporary file; whoever may read the configuration may read the weights.
        weights.chmod((folder / "config.json").stat().st_mode)
    if model.main_input_name != "pixel_values":  # timm's image settings are in config.json
        processor.save_pretrained(folder)
    write_json(folder / "recipe.json", recipe_data)


def write_json(path: Path, content: dict) -> None:
    """Write `content` under another name and rename it, so that a reader never sees half a file."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
