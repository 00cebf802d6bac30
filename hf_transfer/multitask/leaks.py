"""Texts of one task's test rows that another task trains on."""

from collections.abc import Iterator, Mapping

from ..data.texts import content_key


def notes_on_shared_texts(splits: Mapping) -> list[str]:
    """Return a line for each task whose test texts stand in the train rows of another one.

    No label leaks by that, as each task has its own; but the backbone has seen the texts, and the figures of that task
    may be better than those on texts that are new to it. Nothing is dropped. Images are not compared.

    Args:
        splits (`Mapping[str, Splits]`): of each task.
    """
    trained = {task: set(_keys(one.train)) for task, one in splits.items()}
    notes = []
    for task, one in splits.items():
        tested = list(_keys(one.test))
        for other in splits:
            shared = 0 if other == task else sum(key in trained[other] for key in tested)
            if shared:
                notes.append(
                    f"{task}: {shared:,} of {len(tested):,} test texts also stand in the train rows of {other}, under "
                    "that task's labels"
                )
    return notes


def _keys(rows) -> Iterator[bytes]:
    """Yield the key of every text; those of a pair each by itself."""
    for name in ("text", "text_pair"):
        if name in rows.column_names:
            yield from map(content_key, rows[name])
