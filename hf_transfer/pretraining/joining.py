"""Short texts, one after the other, in pieces of full length (RoBERTa's full sentences, Liu et al. 2019)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

NO_WORD = -1  # special tokens, which are never masked


def ends(words: Sequence[int]) -> tuple[int, int]:
    """Return how many special tokens stand before the first word and after the last; where there is none, all."""
    first = len(list(takewhile(NO_WORD.__eq__, words)))
    last = len(list(takewhile(NO_WORD.__eq__, reversed(words))))
    return first, last


def joined(texts: Iterable[tuple[list[int], list[int]]], max_length: int) -> Iterator[tuple[list[int], list[int]]]:
    """Lay texts end to end, each with the special tokens after it, and cut that into pieces.

    A piece begins and ends as a text does. Nothing is left out, so the last piece may be short. Of a word that is cut
    each part is a word.

    Args:
        texts (`Iterable[tuple[list[int], list[int]]]`): token ids and the words they are of, -1 for special tokens;
            special tokens stand at the ends, as many in every text.
        max_length (`int`): tokens of a piece, at most; room for the special tokens and one more at least.
    """
    ids, words, count = [], [], 0
    opening = closing = ()
    for text_ids, text_words in texts:
        first, last = ends(text_words)
        if first == len(text_words):
            continue  # no token but special ones
        opening, closing = text_ids[:first], text_ids[len(text_ids) - last :]
        ids += text_ids[first:]
        words += [word if word == NO_WORD else count + word for word in text_words[first:]]
        count += max(text_words) + 1
    room = max_length - len(opening) - len(closing)
    for start in range(0, len(ids), room):
        piece_ids, piece_words = ids[start : start + room], words[start : start + room]
        first, last = ends(piece_words)  # a cut beside a text's end would leave special tokens side by side
        inner = slice(first, len(piece_words) - last)
        if piece_ids[inner]:
            around = [NO_WORD] * len(opening), [NO_WORD] * len(closing)
            yield [*opening, *piece_ids[inner], *closing], [*around[0], *piece_words[inner], *around[1]]
