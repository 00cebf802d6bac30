"""A JSON file that is there as a whole or not at all."""

import json
import os
from pathlib import Path


def write_json(path: Path, content: dict) -> None:
    """Write `content` under another name and rename it, so that a reader never sees half a file."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
