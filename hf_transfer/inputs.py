"""From rows of text or images to batches of tensors."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from .augmenting import AugmentedImages
from .inputs_fused import FusedCollator, FusedRows


def encode(backbone, processor, rows, folder: Path | None = None, seed: int | None = None):
    """Make a split ready for a model.

    Texts are tokenised once, into an Arrow file under `folder` (in memory without one); images are decoded and
    transformed when they are asked for.

    Args:
        rows (`datasets.Dataset`): columns `text`, `text_pair` or `image`, and perhaps `label`.
        seed (`int`, *optional*): for training: images are augmented as the backbone says.

    Returns:
        `datasets.Dataset` with model inputs, `label` when there was one, and for texts the `length` of each row;
            [`AugmentedImages`]; of a fused backbone [`FusedRows`].
    """
    if hasattr(backbone, "parts"):
        return FusedRows(
            {
                name: encode(part, processor[name], rows.select_columns(_columns_of(part, rows)), folder, seed)
                for name, part in backbone.parts.items()
            }
        )
    if backbone.modality == "image":
        if seed is not None and backbone.augmentation != "none":
            return AugmentedImages(rows, backbone, processor, seed)
        return rows.with_transform(_Transform(backbone, processor))
    texts = [name for name in ("text", "text_pair") if name in rows.column_names]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with bar_from(20_000, len(rows)):
        return rows.map(
            lambda batch: backbone.preprocess(batch, processor),
            batched=True,
            remove_columns=texts,
            # Named by content, so that a resumed run finds it and other settings never do.
            cache_file_name=None if folder is None else str(folder / f"{_name(backbone, rows)}.arrow"),
            new_fingerprint=_name(backbone, rows),  # or `datasets` would pickle the whole tokenizer to make one
            desc="tokenise",
        )


class _Transform:
    """Decodes and transforms; a class, since worker processes of macOS and Windows are sent it pickled."""

    def __init__(self, backbone, processor):
        self.backbone, self.processor = backbone, processor

    def __call__(self, batch: dict) -> dict:
        inputs = self.backbone.preprocess(batch, self.processor)
        return {**inputs, "label": batch["label"]} if "label" in batch else inputs


def _columns_of(backbone, rows) -> list[str]:
    own = ("image", "label") if backbone.modality == "image" else ("text", "text_pair", "label")
    return [name for name in own if name in rows.column_names]


@contextmanager
def bar_from(least: int, count: int):
    """Show `datasets`' progress bar only where it is worth a line."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hide = count < least and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()


def _name(backbone, rows) -> str:
    from datasets.fingerprint import Hasher

    return Hasher.hash((repr(backbone), rows._fingerprint))


def collator(backbone, processor) -> Callable[[list[dict]], dict[str, torch.Tensor]]:
    """Return the function that turns encoded rows into a batch: model inputs and, when rows have them, `labels`."""
    if hasattr(backbone, "parts"):
        return FusedCollator({name: collator(part, processor[name]) for name, part in backbone.parts.items()})
    return _ImageCollator() if backbone.modality == "image" else _TextCollator(processor)


class _TextCollator:
    """Pads on the right to the longest row; ten times sooner than `tokenizer.pad`, which checks every row anew."""

    def __init__(self, tokenizer):
        self.padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
        self.expected = tokenizer.model_input_names

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        lengths = np.array([len(row["input_ids"]) for row in rows])
        real = np.arange(lengths.max()) < lengths[:, None]
        batch = {}
        for name in rows[0].keys() - {"label", "length"}:
            values = np.full(real.shape, self.padding.get(name, 0), dtype=np.int64)
            values[real] = np.concatenate([row[name] for row in rows])
            batch[name] = torch.from_numpy(values)
        # What `TextBackbone.preprocess` leaves out.
        if "attention_mask" in self.expected:
            batch["attention_mask"] = torch.from_numpy(real.astype(np.int64))
        if "token_type_ids" in self.expected and "token_type_ids" not in batch:
            batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
        return batch | _labels(rows)


class _ImageCollator:
    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        pixels = torch.stack([row["pixel_values"] for row in rows])
        return {"pixel_values": pixels.contiguous(memory_format=torch.channels_last)} | _labels(rows)


def _labels(rows: list[dict]) -> dict[str, torch.Tensor]:
    if "label" not in rows[0]:
        return {}
    labels = torch.as_tensor([row["label"] for row in rows])
    return {"labels": labels.float() if labels.is_floating_point() else labels.long()}
