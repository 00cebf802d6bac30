"""A font that can show given names: matplotlib's own lacks Chinese, Japanese, Korean and more."""

from collections.abc import Iterator, Sequence

# Fonts that have a glyph for everything, a box with a code in it; and pictures in colour, which cannot be drawn.
_NO_LETTERS = ("last resort", "lastresort", "emoji", "unifont")


def font_for(names: Sequence[str]):
    """Find a font on this machine.

    Args:
        names (`Sequence[str]`): what is to be written.

    Returns:
        `matplotlib.font_manager.FontProperties` of the first font that has a glyph for every character, matplotlib's
        own before those of the system; or None.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.ft2font import FT2Font

    needed = {ord(character) for name in names for character in name}
    for path in _fonts():
        try:
            font = FT2Font(str(path), face_index=path.face_index)
        except (OSError, RuntimeError):
            continue  # one of the system's, and not in order; another will do
        if font.scalable and needed <= font.get_charmap().keys():
            return FontProperties(fname=path)
    return None


def _fonts() -> Iterator:
    from matplotlib.font_manager import FontPath, FontProperties, findfont, fontManager

    yield findfont(FontProperties(family="DejaVu Sans"))
    regular = [
        entry
        for entry in fontManager.ttflist
        if entry.style == "normal" and not any(word in entry.name.lower() for word in _NO_LETTERS)
    ]
    # The usual weight is 400; the order must not be that in which a disk lists its files.
    regular.sort(key=lambda entry: (abs(_weight(entry.weight) - 400), "mono" in entry.name.lower(), entry.fname))
    for entry in regular:
        yield FontPath(entry.fname, entry.index)


def _weight(value: str | int) -> int:
    from matplotlib.font_manager import weight_dict

    return value if isinstance(value, int) else weight_dict.get(value, 400)
