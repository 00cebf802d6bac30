"""Batches to compare a model with its export on: real rows where there are any, at lengths they may not have."""

import os
from pathlib import Path

import torch

from ..errors import UserError

_TEXTS = 64  # rows that the texts are chosen from
_IMAGES = 8


def check_batches(predictor, given: str | os.PathLike | None) -> tuple[list[dict[str, torch.Tensor]], str]:
    """Choose rows and put them into batches of 1, 3 and 8.

    Texts come alone, with much longer batch mates (so mostly padding), and from the shortest to `max_length`.

    Args:
        predictor (`Predictor`): of the run.
        given (`str`, *optional*): a table of texts or images, or a folder of images; by default the run's own data.

    Returns:
        `tuple[list[dict[str, torch.Tensor]], str]`: the batches, and what their rows are, in words.

    Raises:
        `UserError`: `given` cannot be read.
    """
    rows, source = _rows(predictor, given)
    from ..inputs import encode

    if predictor.backbone.modality == "image":
        encoded = encode(predictor.backbone, predictor.processor, rows)
        real = [{"pixel_values": encoded[number]["pixel_values"]} for number in range(len(rows))]
        groups = [real[:1], _cycled(real, 3), _cycled(real, 8)]
    else:
        encoded = encode(predictor.backbone, predictor.processor, _with_long_row(rows, predictor.backbone.max_length))
        real = sorted((encoded[number] for number in range(len(rows))), key=lambda row: row["length"])
        longest, shortest, middle = encoded[len(rows)], real[0], real[len(real) // 2]
        spread = [real[number * (len(real) - 1) // 7] for number in range(8)]
        groups = [[shortest], [longest], [middle, longest, shortest], spread]
    return [predictor.collate(group) for group in groups], source


def _rows(predictor, given):
    """A data set with the columns `text`, `text_pair` or `image`, and where it is from, in words."""
    if given is not None:
        return _given(predictor, Path(given)), f"rows of {Path(given).name}"
    path = Path(str(predictor.recipe.data.train))
    if not path.exists():
        kind = "texts" if predictor.backbone.modality == "text" else "pictures"
        return _made_up(predictor), f"made-up {kind}, as the run's own rows are not on this disk"
    try:
        return _own(predictor, path), f"rows of {path.name}"
    except UserError as error:
        raise UserError(f"{error}; --input names other rows to check the export on") from error


def _own(predictor, path: Path):
    """Rows of the file or folder that the run was trained on, read as training read them."""
    from ..data import load_labelled

    if path.is_dir():
        return _images_below(path)
    rows = load_labelled(predictor.recipe.data, str(path), predictor.labels, predictor.columns)
    return _chosen(predictor, rows.remove_columns("label"))


def _given(predictor, path: Path):
    """Rows of a file or folder that `predict` could read."""
    from ..data import read_inputs

    if predictor.backbone.modality == "image" and path.is_dir():
        return _images_below(path)
    data = predictor.recipe.data
    like_train = path.suffix.lower() == Path(str(data.train)).suffix.lower()
    reading = {"sep": data.sep, "header": data.header, "encoding": data.encoding} if like_train else {}
    _, rows = read_inputs(path, kind=predictor.backbone.modality, columns=predictor.columns, **reading)
    if not len(rows):
        raise UserError(f"{path} holds no rows to check the export on")
    return _chosen(predictor, rows)


def _chosen(predictor, rows):
    return rows.select(_spread(range(len(rows)), _TEXTS if predictor.backbone.modality == "text" else _IMAGES))


def _images_below(path: Path):
    """A few images of a folder; what else lies there is passed over, as training may have been told to."""
    from datasets import Dataset

    from ..data.folders import files_below
    from ..data.images import read_images
    from ..data.sources import Source

    files = [str(file) for file in _spread(files_below(path), 4 * _IMAGES)]
    content = read_images(
        Source(str(path), Dataset.from_dict({"image": files}), ("path", path), classes=()), "image", drop_broken=True
    )
    sound = [number for number in range(len(files)) if number not in content.unusable]
    if not sound:
        raise UserError(f"{path} holds no image to check the export on")
    return content.rows.select(_spread(sound, _IMAGES))


def _made_up(predictor):
    """Texts of random words of the vocabulary, or pictures of noise; the same ones every time."""
    import numpy as np
    from datasets import Dataset, Features, Image
    from PIL import Image as Picture

    draw = np.random.default_rng(0)
    if predictor.backbone.modality == "image":
        noise = [draw.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(_IMAGES)]
        return Dataset.from_dict({"image": [Picture.fromarray(one) for one in noise]}, Features({"image": Image()}))
    tokenizer, longest = predictor.processor, predictor.backbone.max_length
    words = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    names = ["text", "text_pair"] if "text_pair" in predictor.columns else ["text"]
    lengths = draw.integers(1, max(2, longest // 2), _TEXTS)
    return Dataset.from_dict(
        {name: [tokenizer.decode(draw.choice(words, size)) for size in lengths] for name in names}
    )


def _with_long_row(rows, max_length: int):
    """Append one row that is longer than `max_length`, out of the texts of all."""
    from datasets import Dataset

    columns = rows[:]
    times = 1 + max_length // len(rows)
    return Dataset.from_dict({name: [*texts, " ".join(texts * times)] for name, texts in columns.items()})


def _spread(items, count: int) -> list:
    """At most `count` of the items, from the first to the last: files are often sorted by class."""
    if len(items) <= count:
        return list(items)
    return [items[number * (len(items) - 1) // (count - 1)] for number in range(count)]


def _cycled(items: list, count: int) -> list:
    return [items[number % len(items)] for number in range(count)]
