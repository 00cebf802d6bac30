"""The rows of several tasks as one data set, whose batches say which task they are of."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate

from torch.utils.data import Dataset


class OneTask(Dataset):
    """The rows of one task, with its name.

    Args:
        task (`str`): its name.
        rows: encoded rows or recorded features, which give a whole batch at once.
    """

    def __init__(self, task: str, rows):
        self.task, self.rows = task, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, numbers: list[int]) -> tuple:
        """Return the task and the rows of a batch."""
        return self.task, self.rows.__getitems__(numbers)


class JoinedTasks(Dataset):
    """The rows of several tasks one behind the other; every batch is of one.

    Args:
        tasks (`Mapping[str, Dataset]`): as for [`OneTask`], by name.
    """

    def __init__(self, tasks: Mapping):
        self.parts = [OneTask(task, rows) for task, rows in tasks.items()]
        self.ends = list(accumulate(len(part) for part in self.parts))

    def __len__(self) -> int:
        return self.ends[-1]

    def set_epoch(self, epoch: int) -> None:
        """Tell the tasks whose images are augmented."""
        for part in self.parts:
            if hasattr(part.rows, "set_epoch"):
                part.rows.set_epoch(epoch)

    def __getitems__(self, numbers: list[int]) -> tuple:
        """Return the task and the rows of a batch."""
        place = bisect_right(self.ends, numbers[0])
        start = self.ends[place] - len(self.parts[place])
        return self.parts[place].__getitems__([number - start for number in numbers])


class TaskCollator:
    """Turns the rows of one task into a batch with its name, for the model's `task`.

    Args:
        collate (`Mapping[str, Callable]`): of each task, by name.
    """

    def __init__(self, collate: Mapping[str, Callable]):
        self.collate = collate

    def __call__(self, found: tuple) -> dict:
        task, rows = found
        return {**self.collate[task](rows), "task": task}
