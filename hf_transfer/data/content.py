"""What is learned from, apart from its labels: the shape text and images share on their way to being split."""

from dataclasses import dataclass

import datasets


@dataclass(frozen=True)
class Content:
    """One source's texts or images.

    Args:
        rows (`datasets.Dataset`): all rows of the source, with the columns `text` and `text_pair`, or `image`.
        keys (`list[bytes]`): per row; rows with equal keys count as the same content.
        unusable (`list[int]`): rows that are empty or broken, to be dropped.
        digest (`str`): hash of the exact content, for the fingerprint.
        empty (`int`): how many of `unusable` have no text, where both kinds are read.
        image_keys (`list[bytes]`, *optional*): of the images alone, where rows have a text too.
    """

    rows: datasets.Dataset
    keys: list[bytes]
    unusable: list[int]
    digest: str
    empty: int = 0
    image_keys: list[bytes] | None = None
