"""Two tasks made from the embedded SMS texts, for the demo of a mixture.

`spam` is the collection's own label. `overlap` is a regression on pairs: the second text is the first one with its
last words replaced by those of another message, and the number is how much of it is the first, from 0 to 5, like the
similarities of STS-B. It asks what a similarity task asks, in miniature: how much of one text is in another. Its
labels follow from the texts and are nobody's judgement. No message is in both tasks: of the distinct messages, every
second one goes to each.
"""

import csv
import random
from collections.abc import Callable
from pathlib import Path

from .errors import UserError

SPAM, OVERLAP = "spam.tsv", "overlap.tsv"


def demo_tasks(data, sms: Path, made_once: Callable):
    """Return a mixture with the embedded tasks in the place of its own, under the same names.

    The first task becomes `spam`, or one of pairs or numbers `overlap`, and the second the other one.

    Args:
        data (`TaskMixture`): the recipe's; what it says of sampling and weights stays.
        sms (`Path`): the SMS Spam Collection.
        made_once: writes a folder the first time it is asked for, and returns it.

    Raises:
        `UserError`: the mixture has more than two tasks.
    """
    from dataclasses import replace

    from .data import TextClassification

    if len(data.tasks) > 2:
        raise UserError(f"--demo has two tasks to give, and this recipe has {len(data.tasks)}; run it on its own data")
    folder = made_once("sms-tasks", lambda target: _write(sms, target))

    def embedded(task, kind: str):
        pair = dict(text_pair="second", problem_type="regression") if kind == OVERLAP else {}
        return TextClassification(str(folder / kind), text="text", label="label", split_seed=task.split_seed, **pair)

    names = list(data.tasks)
    first = data.tasks[names[0]]
    pairs_first = first.text_pair is not None or first.problem_type == "regression"
    kinds = (OVERLAP, SPAM) if pairs_first else (SPAM, OVERLAP)
    tasks = {name: embedded(data.tasks[name], kind) for name, kind in zip(names, kinds, strict=False)}
    return replace(data, tasks=tasks)


def _write(sms: Path, folder: Path) -> None:
    with sms.open(encoding="utf-8", newline="") as file:
        rows = [row[:2] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    distinct = list({" ".join(text.split()): label for label, text in rows if text.strip()}.items())
    _table(folder / SPAM, ("text", "label"), distinct[::2])
    _table(folder / OVERLAP, ("text", "second", "label"), _pairs([text for text, _ in distinct[1::2]]))


def _pairs(texts: list[str]) -> list[tuple[str, str, str]]:
    """Pair each message with itself, cut and filled up with the words of another."""
    draw, pairs = random.Random(0), []
    for number, text in enumerate(texts):
        own, other = text.split(), texts[(number + 1) % len(texts)].split()
        kept = draw.randint(0, len(own))
        filled = [*own[:kept], *(other * len(own))[: len(own) - kept]]
        pairs.append((text, " ".join(filled), f"{5 * kept / len(own):.2f}"))
    return pairs


def _table(path: Path, header, rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([header, *rows])
