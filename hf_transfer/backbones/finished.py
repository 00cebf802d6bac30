"""A model that a run of ours left behind, as the backbone of the next run: its encoder, without its head."""

import re

from ..errors import UserError
from .checkpoint import reach, read_json


def finished_backbone(checkpoint: str, revision: str | None, config, cut: bool = False):
    """Load the backbone of a model whose head is ours, by our own classes: the folder's copy of them is not run.

    Args:
        checkpoint (`str`), revision (`str`, *optional*): where the model is.
        config (`TransferTextConfig` or `TransferImageConfig`): its configuration.
        cut (`bool`): `config` asks for fewer blocks than were saved.

    Returns:
        `nn.Module`: in float32, as the model holds it: without layers that its head never read.

    Raises:
        `UserError`: a weight is missing, is too much, or has another shape; the first one is named.
    """
    from ..hub import TransferForImageClassification, TransferForSequenceClassification

    reads_images = config.model_type == "transfer_image"
    ours = TransferForImageClassification if reads_images else TransferForSequenceClassification
    with reach(checkpoint, "weights"):
        model, info = ours.from_pretrained(
            checkpoint,
            revision=revision,
            config=config,
            dtype="float32",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # or a shape that differs would be told in many lines
        )
    wrong = {
        "lacks": sorted(info["missing_keys"]),
        "has another shape of": sorted(entry[0] for entry in info["mismatched_keys"]),
        "has, beyond what its config.json says,": sorted(
            name for name in info["unexpected_keys"] if not (cut and name.startswith("backbone."))
        ),
    }
    for what, names in wrong.items():
        if names:
            raise UserError(f"checkpoint {checkpoint!r} {what} {names[0]!r}; it is incomplete or damaged")
    return model.backbone


def run_behind(checkpoint: str, revision: str | None) -> str | None:
    """Return `"a finished text/lstm_frozen run"` for what such a run left behind, `None` for any other checkpoint."""
    results = read_json(checkpoint, "results.json", revision)
    if not isinstance(results, dict) or not {"recipe", "headline"} <= set(results):
        return None
    name = results["recipe"]
    # It is shown on a screen, and anybody may have written it.
    fit = isinstance(name, str) and re.fullmatch(r"[\w./-]{1,80}", name)
    return f"a finished {name} run" if fit else "a finished run"
