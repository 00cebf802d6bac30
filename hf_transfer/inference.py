"""Logits for every row of a split, in the split's own order."""

import numpy as np
import torch

from .bars import bar
from .batching import by_length, in_order

IMAGES_PER_BATCH = 64


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
    if "length" in dataset.column_names:
        batches = by_length(list(dataset["length"]))
    else:
        batches = list(in_order(count, IMAGES_PER_BATCH))
    result = np.empty((count, model.config.num_labels), dtype=np.float32)
    with bar(count, description or "", "row", hidden=description is None) as progress:
        for rows in batches:
            batch = collate([dataset[row] for row in rows])
            batch.pop("labels", None)
            with torch.inference_mode():
                logits = model(**{key: value.to(device) for key, value in batch.items()}).logits
            result[rows] = logits.float().cpu().numpy()
            progress.update(len(rows))
    return result
