"""Rows with a text and an image: what each column is checked for, and what makes two rows the same."""

from hashlib import blake2b

import datasets

from .content import Content
from .images import DROP_HINT as BROKEN_HINT
from .images import read_images
from .sources import Source
from .texts import DROP_HINT as EMPTY_HINT
from .texts import read_texts


def read_text_images(
    source: Source,
    columns: dict[str, str],
    drop_empty: bool,
    drop_broken: bool,
    progress: bool = True,
    hints: tuple[str, str] = (EMPTY_HINT, BROKEN_HINT),
) -> Content:
    """The text and the image column, under the names `text` and `image`.

    Two rows are the same where both are: one caption stands under many pictures, and one picture has many questions.

    Raises:
        `UserError`: as [`read_texts`] and [`read_images`].
    """
    texts = read_texts(source, columns, drop_empty, hints[0])
    images = read_images(source, columns["image"], drop_broken, progress, hints[1])
    pairs = zip(texts.keys, images.keys, strict=True)
    both = [blake2b(text + image, digest_size=16).digest() for text, image in pairs]
    return Content(
        rows=datasets.concatenate_datasets([texts.rows, images.rows], axis=1),
        keys=both,
        unusable=sorted({*texts.unusable, *images.unusable}),
        digest=blake2b(f"{texts.digest} {images.digest}".encode(), digest_size=16).hexdigest(),
        empty=len(texts.unusable),
        image_keys=images.keys,
    )


def shared_images(held_out, rows) -> int:
    """How many rows of one split have a picture that another split has too, beside another text."""
    known = {rows.content.image_keys[row] for row in rows.rows}
    return sum(held_out.content.image_keys[row] in known for row in held_out.rows)
