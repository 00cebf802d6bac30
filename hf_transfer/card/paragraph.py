"""A paragraph in a model card about what one run alone cannot know: averages, other seeds."""


def with_paragraph(card: str, text: str) -> str:
    """Put `text` (Markdown) under the heading of a card, where nobody can miss it."""
    lines = card.split("\n")
    heading = next(number for number, one in enumerate(lines) if one.startswith("# "))
    return "\n".join([*lines[: heading + 1], "", text, *lines[heading + 1 :]])
