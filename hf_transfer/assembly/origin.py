"""What a checkpoint brings beside its weights: class names, and the run it comes from."""

from ..backbones.finished import run_behind
from ..heads import NativeHead


def checkpoint_label_names(backbone, head, trust_remote_code: bool = False) -> tuple[str, ...] | None:
    """Return the class names of a checkpoint whose head a `NativeHead` could keep, in the order of its ids."""
    if not isinstance(head, NativeHead) or backbone.modality == "image":
        return None
    config = backbone.load_config(trust_remote_code)
    return tuple(config.id2label[number] for number in sorted(config.id2label))


def origin(backbone, head, labels, trust_remote_code: bool = False) -> str | None:
    """Return the line that says what is taken of a model that a run of ours left behind; `None` for other checkpoints.

    Args:
        labels (`Labels`): of the rows that are trained on now.
    """
    if hasattr(backbone, "parts"):
        told = backbone.each(lambda part: origin(part, head, labels, trust_remote_code))
        lines = [f"{name}, {line}" for name, line in told.items() if line]
        return "; ".join(lines) or None
    run = run_behind(backbone.checkpoint, backbone.revision)
    finished = backbone.finished(trust_remote_code)
    if run is None and finished is None:
        return None
    what, unit = ("net", "stage") if backbone.modality == "image" else ("encoder", "block")
    if finished is None:
        kept = checkpoint_label_names(backbone, head, trust_remote_code) == tuple(labels.names)
        left = "and its head, which knows these very classes" if kept else "without its head"
    else:
        what = "input embeddings" if getattr(finished, "embeddings_only", False) else what
        left = f"without its {finished.head['kind']} head"
        left += "" if getattr(finished, "fusion", None) is None else " and its mix of layers"
        left += "" if finished.layer is None else f"; it was cut after {unit} {finished.layer}"
    return f"backbone: the {what} of {run or 'a finished run'}, {left}"
