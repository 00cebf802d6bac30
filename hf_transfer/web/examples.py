"""Inputs to try: rows that the user names, or on this machine rows of the run's own test split."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..domain_results import measured_data
from ..errors import UserError
from ..results import RunResult
from ..scrub import backbones

COUNT = 6
SHOWABLE = (1, 3, 4)  # channels: grey, RGB, RGBA
GENERIC = (
    "Thank you for the quick answer, everything works now.",
    "I waited for an hour and nobody came.",
    "Congratulations! You have won a prize, call now to claim it.",
)
_LONGEST = 400  # characters; a longer text is no handy example
_SIDE = 1024  # pixels; a larger picture is made smaller
_PATIENCE = 20.0  # seconds of a run's start, most of them reading data, beyond which nobody waits for a page


@dataclass(frozen=True)
class Examples:
    """Example inputs of a page.

    Args:
        texts (`list[list[str]]`): one text or two each.
        pictures (`list`): `PIL.Image`s, without what a camera writes about place and owner.
        note (`str`): why there are none, or where they are from.
    """

    texts: list[list[str]]
    pictures: list
    note: str = ""

    def save(self, folder: Path) -> list[str]:
        """Write the pictures as PNG files `0.png`, `1.png`, ... and return their names."""
        names = [f"{number}.png" for number in range(len(self.pictures))]
        for name, picture in zip(names, self.pictures, strict=True):
            picture.save(folder / name)
        return names


def named(result: RunResult, source: str) -> Examples:
    """Rows of a table, or pictures of a folder, spread evenly over it.

    Args:
        result (`RunResult`): of the run; its recipe says which columns hold the input.
        source (`str`): a table file, or for images a folder or one picture.

    Raises:
        `UserError`: the source cannot be read.
    """
    from ..data import read_inputs

    data = measured_data(result)
    kind = "image" if data["kind"] == "ImageClassification" else "text"
    columns = {name: data[name] for name in ("text", "text_pair", "image") if data.get(name) is not None}
    same = Path(source).suffix.lower() == Path(str(data.get("train"))).suffix.lower()
    settings = {name: data[name] for name in ("sep", "header", "encoding") if same and name in data}
    rows = read_inputs(source, kind=kind, columns=columns, **settings)[1]
    step = max(1, len(rows) // COUNT)
    return _of_rows(rows, range(0, len(rows), step), result, f"examples from {source}")


def from_test(recipe, result: RunResult) -> Examples:
    """Rows of the run's test split, the first of each class first, when its data are still on this disk."""
    from ..data import load_data

    ask = "name some with --examples FILE"
    if not Path(str(recipe.data.train)).expanduser().exists():
        return Examples([], [], f"no examples: the run's data ({recipe.data.train}) are not on this disk; {ask}")
    if (result.data.get("timing") or {}).get("load_s", 0) > _PATIENCE:
        return Examples([], [], f"no examples: the run's data take long to read; {ask}")
    try:
        rows = load_data(recipe.data, progress=False).test
    except UserError as error:
        return Examples([], [], f"no examples: the run's data have changed ({error}); {ask}")
    return _of_rows(rows, _each_class_first(list(rows["label"])), result, "examples from the run's test split")


def generic(languages: Sequence[str]) -> Examples:
    """Everyday English sentences, nothing of the user's data; none for a model that is known to read other languages
    alone."""
    if languages and "en" not in languages:
        return Examples([], [])
    return Examples([[text] for text in GENERIC], [])


def _each_class_first(labels: list) -> list[int]:
    """Row numbers: the first row of each class, then all others; where labels are no classes, all in order."""
    firsts = {label: row for row, label in reversed(list(enumerate(labels))) if isinstance(label, int)}
    return list(dict.fromkeys([*sorted(firsts.values()), *range(len(labels))]))


def _of_rows(rows, numbers: Iterable[int], result: RunResult, note: str) -> Examples:
    from ..backbones import ImageBackbone

    channels = next(iter(backbones(result.recipe["backbone"]).values())).get("in_chans") or 3
    texts, pictures = [], []
    for number in numbers:
        if len(texts) + len(pictures) == COUNT:
            break
        row = rows[int(number)]
        if "image" in row:
            pictures.append(_bare(ImageBackbone("", in_chans=channels).as_colours(row["image"])))
        else:
            given = [row[name] for name in ("text", "text_pair") if name in row]
            if all(text and text.strip() for text in given) and max(map(len, given)) <= _LONGEST:
                texts.append(given)
    return Examples(texts, pictures, note)


def _bare(picture):
    """The pixels alone: what a camera wrote about place and owner goes."""
    picture.thumbnail((_SIDE, _SIDE))
    picture.info = {}
    return picture
