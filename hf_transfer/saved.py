"""What a finished run left in its folder, read back: recipe, model, labels, and what prepares the inputs."""

import json
from pathlib import Path

from .errors import UserError


def load_processor(backbone, folder: Path, config, trust_remote_code: bool = False):
    """Load what prepares a saved model's inputs: its tokenizer, its image processor, or of a fused model a `dict` of
    those of its parts, which lie in folders of their names.

    Raises:
        `UserError`: a tokenizer cannot be loaded.
    """
    if hasattr(backbone, "parts"):
        return {
            name: load_processor(part, folder / name, config.parts[name], trust_remote_code)
            for name, part in backbone.parts.items()
        }
    if backbone.modality == "text":
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0].rstrip(" :")
            raise UserError(f"{folder}: its tokenizer cannot be loaded: {reason}") from error
    from transformers import TimmWrapperImageProcessor  # imports timm, which no text model needs

    return TimmWrapperImageProcessor(pretrained_cfg=config.pretrained_cfg, architecture=config.architecture)


def saved_recipe(folder: Path):
    """Read the recipe of a finished run.

    Returns:
        `Recipe`: rows that were in memory are named so: they are gone.

    Raises:
        `UserError`: there is none, or it is damaged.
    """
    from .recipe_json import recipe_from_dict

    recipe_file = folder / "recipe.json"
    if not recipe_file.exists():
        raise UserError(f"{folder} is not a finished run: it holds no recipe.json")
    try:
        content = json.loads(recipe_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{recipe_file} is damaged: {error}") from error
    check_classifier(folder, content)
    if isinstance(content, dict):
        _name_rows_in_memory(content.get("data"))
    return recipe_from_dict(content)


def _name_rows_in_memory(data, within: str = "") -> None:
    """Give rows that were in memory a name in place, in each domain and each task too; all names differ, since two
    sources of one name would be refused as the same rows."""
    for field, value in data.items() if isinstance(data, dict) else ():
        if isinstance(value, dict) and "in_memory" in value:
            data[field] = f"in memory ({within}{field})"
        else:
            _name_rows_in_memory(value, f"{within}{field} ")


def check_classifier(folder: Path, content) -> None:
    """Refuse what `recipe.json` says is no classifier or regressor.

    Raises:
        `UserError`: a pretrained backbone, or the runs of a pipeline; the line says what to do.
    """
    if not isinstance(content, dict):
        return
    if "recipes" in content:
        raise UserError(f"{folder} holds the runs of a pipeline, each in a folder of its own; name one of those")
    data = content.get("data")
    if isinstance(data, dict) and data.get("kind") in ("RawText", "RawImages"):
        raise UserError(
            f"{folder} holds a pretrained backbone, which has no classifier; train one on it: hf-transfer run NAME "
            f"--backbone.checkpoint {folder}"
        )


def saved_labels(config):
    """What the outputs of a finished run's model mean, as `Labels`, in the order of its ids."""
    from .data import Labels

    return Labels(config.problem_type, tuple(config.id2label[number] for number in range(config.num_labels)), None)


def load_saved_model(folder: Path, modality: str, trust_remote_code: bool = False, tasks: bool = False):
    """Load a saved model in its saved precision, refusing missing or unexpected weights.

    Args:
        folder (`Path`): of a finished run.
        modality (`str`): `"text"`, `"image"` or `"text_image"`.
        trust_remote_code (`bool`): run code of the folder that is not ours.
        tasks (`bool`): it is a model of several tasks.

    Raises:
        `UserError`: a weight is missing, unexpected or of another shape; the first one is named. Or the model needs
            code that may not be run.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

    from . import adapter, hub  # noqa: F401  registers our classes, so no code from the folder is run
    from .backbones.checkpoint import quiet
    from .backbones.trust import check_trust

    if trust_remote_code:
        check_trust(str(folder), None)
    auto = AutoModelForImageClassification if modality == "image" else AutoModelForSequenceClassification
    if (Path(folder) / adapter.CONFIG).is_file():
        return adapter.load_adapter(folder, auto)
    auto = AutoModel if tasks else auto
    try:
        with quiet():
            model, info = auto.from_pretrained(folder, output_loading_info=True, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{folder} cannot be loaded: it brings code that is not ours; read it, then trust it: "
                f"load({str(folder)!r}, trust_remote_code=True)"
            ) from error
        raise UserError(f"{folder} cannot be loaded: {str(error).splitlines()[0]}") from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            raise UserError(
                f"{folder}: the weights do not fit the model, {kind.replace('_', ' ')}: {sorted(info[kind])[0]}"
            )
    return model.eval()
