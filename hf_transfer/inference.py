"""Logits for every row of a split, in the split's own order."""

import numpy as np
import torch

from .bars import bar
from .batching import by_length, by_pixels
from .streams import side_by_side


def predict_logits(model, dataset, collate, description: str | None = None) -> np.ndarray:
    """Run `model` in evaluation mode over encoded rows.

    Args:
        dataset (`datasets.Dataset`): what [`inputs.encode`] returned.
        collate: what [`inputs.collator`] returned.
        description (`str`, *optional*): shows a progress bar under this name.

    Returns:
        `np.ndarray` of shape `(rows, num_labels)`, float32.
    """
    device = next(model.parameters()).device
    model.eval()
    count = len(dataset)
    batches = plan_batches(dataset, device.type)
    result = np.empty((count, model.config.num_labels), dtype=np.float32)

    @torch.inference_mode()
    def logits(number: int) -> np.ndarray:
        batch = collate([dataset[row] for row in batches[number]])
        batch.pop("labels", None)
        return model(**{key: value.to(device) for key, value in batch.items()}).logits.float().cpu().numpy()

    with bar(count, description or "", "row", hidden=description is None) as progress:
        for number, values in side_by_side(logits, range(len(batches)), device.type):
            result[batches[number]] = values
            progress.update(len(values))
    return result


def plan_batches(dataset, device: str) -> list[list[int]]:
    """Group the rows of an encoded split for a forward pass without gradients."""
    if hasattr(dataset, "batches"):
        return dataset.batches(device)
    if "length" in dataset.column_names:
        return by_length(dataset["length"][:], device)
    if not len(dataset):
        return []
    _, height, width = dataset[0]["pixel_values"].shape
    return by_pixels(len(dataset), height * width, device)
