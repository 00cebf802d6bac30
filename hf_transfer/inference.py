"""Logits for every row of a split, in the split's own order."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from .bars import bar
from .batching import by_length, by_pixels


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
    # Images are decoded when they are asked for, and decoding lets other threads run; texts are only looked up.
    workers = 1 if "length" in dataset.column_names else os.cpu_count() or 1
    result = np.empty((count, model.config.num_labels), dtype=np.float32)
    with (
        bar(count, description or "", "row", hidden=description is None) as progress,
        ThreadPoolExecutor(workers) as pool,
    ):
        for rows in batches:
            batch = collate(list(pool.map(dataset.__getitem__, rows)))
            batch.pop("labels", None)
            with torch.inference_mode():
                logits = model(**{key: value.to(device) for key, value in batch.items()}).logits
            result[rows] = logits.float().cpu().numpy()
            progress.update(len(rows))
    return result


def plan_batches(dataset, device: str) -> list[list[int]]:
    """Group the rows of an encoded split for a forward pass without gradients."""
    if "length" in dataset.column_names:
        return by_length(dataset["length"][:], device)
    if not len(dataset):
        return []
    _, height, width = dataset[0]["pixel_values"].shape
    return by_pixels(len(dataset), height * width, device)
