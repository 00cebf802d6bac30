"""Texts as tokens that know which word they are of."""

from pathlib import Path

from ..errors import UserError
from ..inputs import bar_from
from .joining import NO_WORD, joined


def check_tokenizer(tokenizer, checkpoint: str, whole_word: bool) -> None:
    """Refuse a tokenizer that cannot serve masked language modelling.

    Raises:
        `UserError`: it has no mask token, or does not say where words begin though words are to be masked.
    """
    if tokenizer.mask_token_id is None:
        raise UserError(f"the tokenizer of checkpoint {checkpoint!r} has no mask token; take one that was made for it")
    if not tokenizer.is_fast:
        raise UserError(f"the tokenizer of checkpoint {checkpoint!r} is a slow one, which cannot tell words apart")
    # Some read a text as a single piece, blanks and all.
    if whole_word and len({word for word in tokenizer("two words").word_ids() if word is not None}) != 2:
        raise UserError(
            f"the tokenizer of checkpoint {checkpoint!r} does not tell where words begin; set head.whole_word to false"
        )


def tokenise(rows, tokenizer, max_length: int, folder: Path, join: bool = False):
    """Turn texts into pieces of at most `max_length` tokens; of a longer text nothing is left out.

    Words are those of the tokenizer itself (`word_ids`). transformers' collator for whole words goes by gaps between
    characters instead, so that a text is a single word to it wherever blanks belong to tokens
    (SentencePiece, byte-level BPE that does not trim) or there are none (Chinese).

    Args:
        rows (`datasets.Dataset`): one column `text`.
        folder (`Path`): for the Arrow file.
        join (`bool`): lay texts end to end, a thousand at a time, so that nearly all pieces have `max_length` tokens.

    Returns:
        `datasets.Dataset`: `input_ids`, perhaps `token_type_ids`, `words` (number of the word, or -1), and `length`.
    """
    from datasets.fingerprint import Hasher

    def encode(batch):
        found = tokenizer(
            batch["text"], truncation=not join, max_length=None if join else max_length,
            return_overflowing_tokens=not join, return_attention_mask=False, verbose=False,
        )  # fmt: skip
        count = len(found["input_ids"])
        words = [[NO_WORD if word is None else word for word in found.word_ids(row)] for row in range(count)]
        kept = {name: found[name] for name in ("input_ids", "token_type_ids") if name in found}
        if join:
            pieces = list(joined(zip(kept["input_ids"], words, strict=True), max_length))
            kept = {name: [[0] * len(ids) for ids, _ in pieces] for name in kept}  # one segment, as without
            kept["input_ids"], words = [ids for ids, _ in pieces], [words for _, words in pieces]
        return {**kept, "words": words, "length": [len(ids) for ids in kept["input_ids"]]}

    folder.mkdir(parents=True, exist_ok=True)
    name = Hasher.hash((rows._fingerprint, max_length, len(tokenizer), join, "words"))
    with bar_from(20_000, len(rows)):
        return rows.map(
            encode, batched=True, remove_columns=["text"], desc="tokenise",
            cache_file_name=str(folder / f"{name}.arrow"), new_fingerprint=name,
        )  # fmt: skip
