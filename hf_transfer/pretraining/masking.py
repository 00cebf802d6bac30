"""Which tokens are masked: by seed, epoch and row alone, so that every rank, every batching and every resumed run
masks the same ones, and two measurements are made on the same masks."""

import numpy as np
import torch

from .joining import NO_WORD

FIXED = 2**32 - 1  # the epoch of rows that are masked alike every time


def choose_positions(words: np.ndarray, probability: float, whole_word: bool, draw: np.random.Generator) -> np.ndarray:
    """Choose the tokens of one row that are to be predicted, as BERT's `create_pretraining_data.py` does.

    A share `probability` of the tokens that are not special, rounded, and at least one. Words are taken in random
    order, each with all of its tokens if they still fit; where not even the first does, it is taken alone.

    Args:
        words (`np.ndarray` of shape `(tokens,)`): the word of each token, -1 for special ones.
        probability (`float`): in (0, 1).
        whole_word (`bool`): choose words; else each token is a word of its own.

    Returns:
        `np.ndarray`: positions, ascending; empty only where all tokens are special.
    """
    free = np.flatnonzero(words != NO_WORD)
    if not len(free):
        return free
    wanted = max(1, round(len(free) * probability))
    if not whole_word:
        return np.sort(draw.permutation(free)[:wanted])
    _, numbers = np.unique(words[free], return_inverse=True)
    order = draw.permutation(numbers.max() + 1)
    chosen: list[int] = []
    for word in order:
        tokens = free[numbers == word]
        if not chosen or len(chosen) + len(tokens) <= wanted:
            chosen.extend(tokens)
        if len(chosen) >= wanted:
            break
    return np.sort(np.array(chosen))


def mask(ids: np.ndarray, positions: np.ndarray, mask_id: int, vocabulary: int, draw: np.random.Generator):
    """Return the row with the chosen tokens hidden: 80% by the mask token, 10% by a token drawn at random, 10% not at
    all (Devlin et al. 2019, section 3.1)."""
    hidden, fate = ids.copy(), draw.random(len(positions))
    hidden[positions[fate < 0.8]] = mask_id
    swapped = positions[fate >= 0.9]
    hidden[swapped] = draw.integers(0, vocabulary, len(swapped))
    return hidden


class MaskedRows(torch.utils.data.Dataset):
    """Rows with some of their tokens masked. Number `epoch * rows + row` is `row` with that epoch's masks.

    Args:
        rows (`datasets.Dataset`): what [`tokens.tokenise`] returned.
        head (`MaskedLMHead`): how many, and whether words.
        tokenizer: for the mask token and the size of the vocabulary.
        seed (`int`): of the masks.
        fixed (`bool`): the same masks in every epoch, for measuring.
    """

    def __init__(self, rows, head, tokenizer, seed: int, fixed: bool = False):
        self.rows, self.head, self.seed, self.fixed = rows, head, seed, fixed
        self.mask_id, self.vocabulary = tokenizer.mask_token_id, len(tokenizer)
        self.lengths = rows["length"][:]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: list[int]) -> list[dict]:
        pairs = [divmod(number, len(self)) for number in numbers]
        columns = self.rows[[row for _, row in pairs]]
        return [
            self._masked({name: values[i] for name, values in columns.items()}, FIXED if self.fixed else epoch, row)
            for i, (epoch, row) in enumerate(pairs)
        ]

    def _masked(self, tokens: dict, epoch: int, row: int) -> dict:
        draw = np.random.default_rng((self.seed, epoch, row))
        ids, words = np.asarray(tokens["input_ids"]), np.asarray(tokens["words"])
        positions = choose_positions(words, self.head.probability, self.head.whole_word, draw)
        found = {"input_ids": mask(ids, positions, self.mask_id, self.vocabulary, draw)}
        if "token_type_ids" in tokens:
            found["token_type_ids"] = np.asarray(tokens["token_type_ids"])
        return {**found, "positions": positions, "targets": ids[positions]}


class MaskedCollator:
    """Pads on the right; `positions` count through the whole padded batch, and `labels` are the tokens that stood
    there: a masked token is what a row is to a classifier."""

    def __init__(self, tokenizer):
        self.padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        lengths = [len(row["input_ids"]) for row in rows]
        longest = max(lengths)
        batch = {"attention_mask": np.arange(longest)[None, :] < np.array(lengths)[:, None]}
        for name in rows[0].keys() & self.padding.keys():
            values = np.full((len(rows), longest), self.padding[name], dtype=np.int64)
            for line, row in zip(values, rows, strict=True):
                line[: len(row[name])] = row[name]
            batch[name] = values
        batch["positions"] = np.concatenate([number * longest + row["positions"] for number, row in enumerate(rows)])
        batch["labels"] = np.concatenate([row["targets"] for row in rows])
        return {name: torch.from_numpy(values.astype(np.int64)) for name, values in batch.items()}


class MaskedTokensOnly:
    """Lets a stock `XForMaskedLM` compute its head, a product with the whole vocabulary, where a token is masked and
    nowhere else: `positions` among its inputs says where, and its logits are `(masked tokens, vocabulary)`."""

    def __init__(self, model):
        self.positions = None
        self.hooks = (
            model.register_forward_pre_hook(self._take, with_kwargs=True),
            model.base_model.register_forward_hook(self._pick),
        )

    def _take(self, model, args, kwargs):
        self.positions = kwargs.pop("positions", None)
        return args, kwargs

    def _pick(self, encoder, args, output):
        if self.positions is not None:
            output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[self.positions]
        return output

    def remove(self) -> None:
        """Leave the model as it was."""
        for hook in self.hooks:
            hook.remove()
