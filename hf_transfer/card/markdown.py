"""Pieces of Markdown that no name or text in them can break."""

import re
from collections.abc import Sequence
from typing import Any


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table with titles in the first row; the first column to the left, all others to the right."""
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|---|" + "---:|" * (len(rows[0]) - 1), *lines[1:]])


def pairs(lines: Sequence[tuple[str, str]]) -> str:
    """A list of names and what is said of them."""
    return "\n".join(f"- **{name}:** {text}" for name, text in lines)


def cell(text: Any) -> str:
    """Text that cannot break a table or be taken for HTML."""
    text = " ".join(str(text).split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def fenced(text: str, language: str) -> str:
    """A block of code whose fence is longer than any in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
