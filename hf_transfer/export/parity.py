"""Whether onnxruntime answers what PyTorch answers, on other batches than the one that was traced."""

from pathlib import Path

import numpy as np
import torch

from ..errors import UserError
from ..scoring import probabilities


def compare(model, path: Path, batches: list[dict[str, torch.Tensor]], folder: Path) -> float:
    """Run the same batches through both.

    Args:
        model (`PreTrainedModel`): in evaluation mode, on the CPU.
        path (`Path`): the ONNX file.
        batches (`list[dict[str, torch.Tensor]]`): what `check_batches` returned.
        folder (`Path`): of the run, named when onnxruntime fails.

    Returns:
        `float`: the largest difference of a probability; for regression of a value, divided by it where it is above
        1. Not a number if one of them is none.

    Raises:
        `UserError`: onnxruntime cannot load the file or run a batch.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # errors alone
    kind, differences, doing = model.config.problem_type, [], "load the file"
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for batch in batches:
            doing = f"run a batch of shape {' x '.join(map(str, _rows(batch).shape))}"
            with torch.inference_mode():
                expected = probabilities(model(**batch).logits.numpy(), kind)
            feed = {name: np.ascontiguousarray(values.numpy()) for name, values in batch.items()}
            found = probabilities(session.run(["logits"], feed)[0], kind)
            differences.append((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max())
    except Exception as error:  # onnxruntime's classes of errors have none in common
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"the export of {folder} was not kept: onnxruntime cannot {doing} ({reason}); predict with PyTorch "
            f"(`hf-transfer predict {folder}`), or try other versions of torch, onnxscript and onnxruntime"
        ) from error
    return float(np.max(differences))


def words(batches: list[dict[str, torch.Tensor]], source: str) -> str:
    """Say what was compared: `13 rows of reviews.csv, 1 to 8 at a time, padded to 3 to 128 tokens`."""
    sizes = [len(_rows(batch)) for batch in batches]
    text = f"{sum(sizes)} {source}, {min(sizes)} to {max(sizes)} at a time"
    if "input_ids" in batches[0]:
        lengths = [batch["input_ids"].shape[1] for batch in batches]
        text += f", padded to {min(lengths)} to {max(lengths)} tokens"
    return text


def _rows(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return next(iter(batch.values()))
