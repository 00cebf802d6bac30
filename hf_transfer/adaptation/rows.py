"""Encoded or recorded rows of two domains as one data set, whose batches say of each row its domain and its weight."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from ..objectives.terms import SOURCE, TARGET

RAGGED = ("tokens", "mask")  # padded to the longest row of a batch


class DomainRows(Dataset):
    """Rows of the source, then rows of the target.

    Args:
        parts (`Sequence`): encoded rows (`datasets.Dataset`) or recorded features (`FeatureSet`): the source's, and
            the target's where the training reads them.
        labels (`Sequence[np.ndarray]`): of each part: class ids, -100 for a row without a label.
        weights (`Sequence[np.ndarray]`): of each part: of its rows in the loss, 0 for a row without a label.
        shares (`np.ndarray` of shape `(source rows,)`, *optional*): what each source row adds to the divisor of a
            step; by default 1.
    """

    def __init__(self, parts: Sequence, labels: Sequence[np.ndarray], weights: Sequence[np.ndarray], shares=None):
        self.parts, self.ends = list(parts), list(accumulate(map(len, parts)))
        self.labels = torch.from_numpy(np.concatenate(labels).astype(np.int64))
        self.weights = torch.from_numpy(np.concatenate(weights).astype(np.float32))
        shares = np.ones(len(parts[0])) if shares is None else shares
        self.shares = torch.zeros(len(self.weights))
        self.shares[: len(shares)] = torch.from_numpy(np.asarray(shares, np.float32))
        domains = [np.full(len(part), domain) for part, domain in zip(parts, (SOURCE, TARGET), strict=False)]
        self.domains = torch.from_numpy(np.concatenate(domains))

    def __len__(self) -> int:
        return self.ends[-1]

    def set_epoch(self, epoch: int) -> None:
        """Tell the parts whose images are augmented."""
        for part in self.parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    @property
    def lengths(self):
        """Tokens in each row, or `None` where rows have no length."""
        from ..trainer import lengths_of

        found = [lengths_of(part) for part in self.parts]
        return None if found[0] is None else np.concatenate([np.asarray(one) for one in found])

    def __getitems__(self, numbers: list[int]) -> tuple:
        """Return what each part gives of a batch, and what is known of its rows, part by part."""
        by_part: list[list[int]] = [[] for _ in self.parts]
        for number in numbers:
            by_part[bisect_right(self.ends, number)].append(number)
        starts = [end - len(part) for end, part in zip(self.ends, self.parts, strict=True)]
        found = [
            part.__getitems__([number - start for number in rows])
            for part, start, rows in zip(self.parts, starts, by_part, strict=True)
            if rows
        ]
        order = [number for rows in by_part for number in rows]
        columns = {"labels": self.labels, "weight": self.weights, "domain": self.domains, "share": self.shares}
        return found, {name: column[order] for name, column in columns.items()}


class DomainCollator:
    """Turns what [`DomainRows`] gives into one batch.

    Args:
        collate (`Callable`): of encoded rows, a list of them; of recorded features, a batch.
    """

    def __init__(self, collate: Callable):
        self.collate = collate

    def __call__(self, found: tuple) -> dict[str, torch.Tensor]:
        parts, about = found
        if isinstance(parts[0], list):
            batch = self.collate([row for part in parts for row in part])
        else:
            batch = _joined([self.collate(part) for part in parts])
        return {**batch, **about}


def _joined(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Put batches of recorded features together, tokens padded to the longest row of all."""
    joined = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        if name in RAGGED:
            longest = max(value.shape[1] for value in values)
            values = [F.pad(v, (0, 0) * (v.ndim - 2) + (0, longest - v.shape[1])) for v in values]
        joined[name] = torch.cat(values)
    return joined


class Weighted(Dataset):
    """Labelled rows for evaluation, each with a weight where they have one.

    Args:
        rows: encoded rows or recorded features, with labels.
        weights (`np.ndarray` of shape `(rows,)`, *optional*): of mean 1.
    """

    def __init__(self, rows, weights: np.ndarray | None = None):
        self.rows = rows
        self.weights = None if weights is None else torch.from_numpy(weights.astype(np.float32))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, numbers: list[int]) -> tuple:
        """Return the rows and their weights."""
        about = {} if self.weights is None else {"weight": self.weights[numbers]}
        return [self.rows.__getitems__(numbers)], about
