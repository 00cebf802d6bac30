"""A paragraph in a model card about what one run alone cannot know: averages, other seeds."""

from collections.abc import Sequence


def with_paragraph(card: str, text: str) -> str:
    """Put `text` (Markdown) under the heading of a card, where nobody can miss it."""
    lines = card.split("\n")
    heading = next(number for number, one in enumerate(lines) if one.startswith("# "))
    return "\n".join([*lines[: heading + 1], "", text, *lines[heading + 1 :]])


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Write rows of text, the titles first, as a Markdown table."""
    lines = (rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:])
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
