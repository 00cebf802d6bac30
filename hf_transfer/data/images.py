"""The image column of a source: every image is decoded once before training starts, so that a damaged file is found
in the first minute and by its path, not in the middle of an epoch by a worker."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import datasets
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from ..errors import UserError
from .content import Content
from .sources import Source

DROP_HINT = "; --data.drop_broken leaves such files out"
_BATCH = 256  # as many encoded images as are in memory at a time
_MANY = 2_000  # below it the check is over before a progress bar can be read


def read_images(
    source: Source, column: str, drop_broken: bool, progress: bool = True, hint: str = DROP_HINT
) -> Content:
    """The image column under the name `image`, as a `datasets.Image` feature that decodes on access.

    The key of an image is the hash of its file: the same picture saved twice in different quality is not recognised.

    Raises:
        `UserError`: the column holds no images, or some are broken and `drop_broken` is off.
    """
    rows = _as_image_column(source, column)
    keys, broken, reasons = [], [], []
    bar = tqdm(total=len(rows), desc="check images", unit=" images", disable=not (progress and len(rows) >= _MANY))
    with bar, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for batch in encoded_images(rows):
            for key, reason in pool.map(check_image, batch):
                if reason:
                    broken.append(len(keys))
                    reasons.append(reason)
                keys.append(key)
            bar.update(len(batch))
    if broken and not drop_broken:
        more = f", and {len(broken) - 1} more: {source.some_rows(broken[1:], 4)}" if len(broken) > 1 else ""
        raise UserError(f"{source.where}: {source.row(broken[0])} {reasons[0]}{more}{hint}")
    digest = blake2b(b"".join(keys), digest_size=16).hexdigest()
    return Content(rows, keys, broken, digest)


def path_dataset(paths: list[Path]) -> datasets.Dataset:
    """Image files as a data set that reads and decodes one when it is asked for."""
    return datasets.Dataset.from_dict({"image": [str(path) for path in paths]}).cast_column("image", datasets.Image())


def _as_image_column(source: Source, column: str) -> datasets.Dataset:
    feature = source.rows.features[column]
    rows = source.rows.select_columns([column])
    if column != "image":
        rows = rows.rename_column(column, "image")
    if isinstance(feature, datasets.Image):
        return rows.cast_column("image", datasets.Image())  # as stored: a mode would convert on decoding
    if isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string"):
        base = source.base if source.classes is None and source.base is not None else Path()
        paths = rows.with_format("arrow")[:]["image"].to_pylist()
        blank = [i for i, path in enumerate(paths) if path is None or not path.strip()]
        if blank:
            raise UserError(f"{source.where}: column {column!r} names no image in {source.some_rows(blank)}")
        return path_dataset([base / path for path in paths])
    if isinstance(feature, dict) and set(feature) == {"bytes", "path"}:  # HF's image structs in a plain Parquet file
        return rows.cast_column("image", datasets.Image())
    raise UserError(
        f"{source.where}: column {column!r} (data.image) holds {feature}, allowed: images or paths to them"
    )


def encoded_images(rows: datasets.Dataset) -> Iterator[list[dict]]:
    undecoded = rows.cast_column("image", datasets.Image(decode=False)).with_format("arrow")
    for batch in undecoded.iter(batch_size=_BATCH):
        yield batch["image"].to_pylist()


def check_image(image: dict) -> tuple[bytes, str | None]:
    """The key of one image, and what is wrong with it, if anything."""
    try:
        encoded = image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
    except FileNotFoundError:
        return b"", f"names {image['path']}, and there is no such file"
    except (OSError, TypeError) as error:
        return b"", f"cannot be read ({error})"
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            picture.draft("RGB", (64, 64))  # JPEG alone heeds it: still reads every byte, but computes an eighth
            picture.load()
    except UnidentifiedImageError:
        return b"", "is not an image"
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        return b"", f"is a damaged image ({error})"
    return blake2b(encoded, digest_size=16).digest(), None
