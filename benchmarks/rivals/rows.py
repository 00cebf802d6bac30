"""A table of the workload as the Trainer reads it; apart from `shared`, so that only Trainers import `datasets`."""

from datasets import Dataset
from shared import read_table


def encoded(tokenizer, path: str, names: list[str], padding=False) -> Dataset:
    """Tokenise the rows of a CSV file; `labels` are places in `names`."""
    texts, labels = read_table(path)
    rows = Dataset.from_dict({"text": texts, "labels": [names.index(label) for label in labels]})
    return rows.map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=128, padding=padding),
        batched=True,
        remove_columns=["text"],
    )
