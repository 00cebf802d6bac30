"""What the rivals' scripts share: reading a table of the workload, and the one line of JSON at the end."""

import csv
import json
from pathlib import Path

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def read_table(path: str, limit: int | None = None) -> tuple[list[str], list[str]]:
    """Texts and label names of a CSV file with the columns `text` and `label`."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:limit]
    return [row["text"] for row in rows], [row["label"] for row in rows]


def add_table_arguments(parser) -> None:
    parser.add_argument("--checkpoint", required=True, help="folder of the encoder")
    for part in ("train", "validation", "test"):
        parser.add_argument(f"--{part}", required=True, help="CSV file with the columns text and label")


def accuracy(output) -> dict[str, float]:
    """Trainer's `compute_metrics`."""
    return {"accuracy": float((output.predictions.argmax(-1) == output.label_ids).mean())}


def synchronise() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def emit(**figures) -> None:
    print(json.dumps(figures), flush=True)
