"""What a run measured: `RunResult`, its results.json, and the short table a run ends with.

Nothing heavy is imported here, so that reading a result costs nothing.
"""

import json
import math
import os
import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError
from .scrub import backbones, data_sets, is_path, last_name

# What a metric is called in a table, short enough for 100 columns; other names are shown as they are, with spaces
TITLES = {
    "balanced_accuracy": "balanced acc.",
    "ece": "calib. error",
    "macro_f1": "macro-F1",
    "mae": "MAE",
    "matthews_correlation": "Matthews",
    "micro_f1": "micro-F1",
    "mse": "MSE",
    "pearson": "Pearson",
    "roc_auc": "ROC-AUC",
    "spearman": "Spearman",
    "weighted_f1": "weighted F1",
    "weighted_precision": "weighted prec.",
    "weighted_recall": "weighted rec.",
}
# What the table shows beside the headline when the recipe does not name its own metrics
_BESIDE = {
    "single_label_classification": ("macro_f1", "loss"),
    "multi_label_classification": ("macro_f1", "accuracy", "loss"),
    "regression": ("mae", "pearson", "spearman"),
    "multi_task": (),
}
_BASELINE = {
    "single_label_classification": "majority class",
    "multi_label_classification": "majority labels",
    "regression": "train mean",
    "multi_task": "mean of baselines",
}
_DROPPED = {
    "leaked": "train rows that repeat in validation or test",
    "leaked_validation": "validation rows that repeat in test",
    "empty": "rows without text",
    "broken": "damaged files or no images",
}
_MAX_CLASSES = 20  # more than these and only the weakest are listed
_MAX_COLUMNS = 4  # metrics beside the headline
_WIDTH = 100  # screen columns
_MAX_NAME = 32  # of them for a class name
_SHARED = 20  # first columns up to this wide stand under one another


@dataclass
class RunResult:
    """What a run leaves behind, apart from the model.

    Args:
        output_dir (`Path`): the folder of the run.
        recipe_name (`str`): such as text/lstm_frozen; None for a recipe that was not loaded by name.
        recipe (`dict`): what recipe.json holds.
        data (`dict`): what results.json holds.
    """

    output_dir: Path
    recipe_name: str | None
    recipe: dict
    data: dict

    def __post_init__(self):
        self.output_dir = Path(self.output_dir)

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics by split, as in `result.metrics["test"]["accuracy"]`."""
        return self.data["metrics"]

    @property
    def headline(self) -> dict:
        """`name`, `value` and `ci95` of the metric a result is first judged by, on the test split."""
        return self.data["headline"]

    @property
    def path(self) -> Path:
        return self.output_dir / "results.json"

    def save(self) -> None:
        """Write results.json whole or not at all: an interrupted run never leaves half of one, nor loses the last."""
        content = _plain({**self.data, "recipe": self.recipe_name})
        text = _rows_in_lines(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
        unfinished = self.output_dir / f".results.json.{os.getpid()}.tmp"
        try:
            with open(unfinished, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, self.path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, output_dir: str | Path) -> "RunResult":
        """Read results.json and recipe.json of a run.

        Raises:
            `UserError`: a file is missing or is not what a run writes.
        """
        output_dir = Path(output_dir)
        data = _read_json(output_dir / "results.json")
        recipe = _read_json(output_dir / "recipe.json")
        return cls(output_dir=output_dir, recipe_name=data.get("recipe"), recipe=recipe, data=data)

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | None = None):
        """Upload the output folder in one commit; see [`hub_push.push_folder`]."""
        from .hub_push import push_folder

        return push_folder(self.output_dir, repo_id, private=private, token=token)

    def beats_baseline(self) -> bool | None:
        """Whether the headline is better than the baseline that has seen no input; None when that is not known."""
        value, baseline = self.headline.get("value"), self._baseline()
        if value is None or baseline is None:
            return None
        return value < baseline if self._lower_is_better() else value > baseline

    def verdict(self) -> str | None:
        """A sentence when the result is no better than answering without looking, or may be; None when it is."""
        beaten, interval, baseline = self.beats_baseline(), self.headline.get("ci95"), self._baseline()
        if beaten is None:
            return None
        name, answer = title(self.headline["name"]), _BASELINE[self.problem_type]
        if not beaten:
            side = "below" if self._lower_is_better() else "above"
            return (
                f"Not better than the baseline: test {name} {number(self.headline['value'])} is not {side} "
                f"{number(baseline)} ({answer}), which needs no model."
            )
        if interval and interval[0] <= baseline <= interval[1]:
            return f"Uncertain: the 95% interval of test {name} includes the baseline {number(baseline)} ({answer})."
        return None

    def table(self) -> str:
        """The plain text a run ends with, at most about 100 columns wide."""
        scores, (classes, note), facts = self.score_rows(), self.class_rows(), self.facts()
        first = max(_width(row[0]) for row in (*scores, *classes, *facts))
        first = first if first <= _SHARED else 0
        parts = [
            self._head(),
            align(scores, first),
            "\n".join(part for part in (align(classes, first) if classes else "", note) if part),
            "\n".join(_wrapped(name, line, max(first, 10)) for name, line in facts),
            self.verdict() or "",
        ]
        return "\n\n".join(part for part in parts if part)

    @property
    def problem_type(self) -> str:
        return self.data["problem_type"]

    def metric_columns(self) -> list[str]:
        """Names of the metrics shown beside the headline: the recipe's own, else a few."""
        # A result of several tasks names its columns itself: the score of each.
        wanted = self.data.get("columns") or self.recipe.get("metrics") or _BESIDE.get(self.problem_type, ("loss",))
        known = set().union(*self.metrics.values())
        return [name for name in wanted if name in known and name != self.headline["name"]][:_MAX_COLUMNS]

    def score_rows(self) -> list[list[str]]:
        """The metrics as text: a row of titles, then one per split and one for the baseline."""
        name, others = self.headline["name"], self.metric_columns()
        intervals = {"validation": self.data.get("validation_ci95"), "test": self.headline.get("ci95")}
        rows = [["", self.metric_title(name), "95% interval", *map(self.metric_title, others)]]
        for split, values in self.metrics.items():
            shown = [number(values.get(other)) for other in others]
            rows.append([split, number(values.get(name)), span(intervals.get(split)), *shown])
        if self._baseline() is not None:
            rows.append([_BASELINE[self.problem_type], number(self._baseline()), *[""] * (1 + len(others))])
        return rows

    def class_rows(self) -> tuple[list[list[str]], str]:
        """Per-class results as text (a row of titles first), and a line that says which classes are left out."""
        classes, note = self.data.get("per_class") or [], ""
        if not classes:
            return [], note
        if len(classes) > _MAX_CLASSES:
            note = f"the {_MAX_CLASSES} classes with the lowest F1 of {len(classes)}; results.json has all"
            classes = sorted(classes, key=lambda one: one["f1"])[:_MAX_CLASSES]
        rows = [["test, by class", "precision", "recall", "F1", "rows"]]
        for one in classes:
            scores = [number(one[key]) for key in ("precision", "recall", "f1")]
            rows.append([one_line(one["name"]), *scores, f"{one['support']:,}"])
        return rows, note

    def facts(self) -> list[tuple[str, str]]:
        """Data sizes, dropped rows, parameters and times, each as a name and a line of text."""
        data, parameters = self.data.get("data") or {}, self.data.get("parameters") or {}
        found = []
        sizes = [
            f"{split} {data[split]:,}" for split in ("train", "validation", "test") if data.get(split) is not None
        ]
        if sizes:
            found.append(("rows", ", ".join(sizes)))
        if "dropped" in data:
            gone = [f"{n:,} {_DROPPED.get(why, why)}" for why, n in data["dropped"].items() if n]
            found.append(("dropped", ", ".join(gone) or "none"))
        if parameters.get("total"):
            trainable, total = parameters["trainable"], parameters["total"]
            found.append(("parameters", f"{trainable:,} trainable of {total:,} ({trainable / total:.1%})"))
        learned = self.data.get("learned") or {}
        if learned.get("layer_weights"):
            pairs = zip(learned["layers"], learned["layer_weights"], strict=True)
            shown = ", ".join(f"{layer}: {weight:.3f}" for layer, weight in pairs)
            found.append(("layer weights", f"{shown}; gamma {learned['gamma']:.3f}"))
        times = [f"{name.removesuffix('_s')} {duration(s)}" for name, s in (self.data.get("timing") or {}).items()]
        if times:
            found.append(("time", ", ".join(times)))
        return found

    def _baseline(self) -> float | None:
        return (self.data.get("baselines") or {}).get("majority_class")

    def _lower_is_better(self) -> bool:
        return self.problem_type == "regression"  # of the three headlines only MSE is an error

    def _head(self) -> str:
        words = [self.recipe_name or "recipe"]
        if self.data.get("checkpoint"):
            words.append(f"on {short_source(self.data['checkpoint'])}")
        if self.data.get("seed") is not None:
            words.append(f"(seed {self.data['seed']})")
        status = self.data.get("status")
        return " ".join(words) + (f": {status}" if status and status != "complete" else "")

    def metric_title(self, name: str) -> str:
        """What a metric of this result is called in a table."""
        exact = name == "accuracy" and self.problem_type == "multi_label_classification"
        return "exact match" if exact else title(name)


def hub_sources(recipe: Mapping) -> dict[str, Any]:
    """Which checkpoint and data sets of a resolved recipe come from the Hub, for results.json and the card.

    To be called where the run happens: a name that exists there as a file or folder is what was loaded.

    Returns:
        `dict`: `base_model`, a Hub id or None (of a fused backbone a list of those that its parts have), and
            `datasets`, a list of Hub ids.
    """
    data = recipe.get("data") or {}
    ids = []
    for one in data_sets(data).values():
        # validation and test are Hub ids of their own only with a slash; otherwise they name a split of train's
        others = [one.get(split) for split in ("validation", "test") if "/" in str(one.get(split))]
        ids += [_hub_id(source) for source in (one.get("train"), *others)]
    backbone = recipe.get("backbone") or {}
    bases = [_hub_id(part.get("checkpoint")) for part in backbones(backbone).values()]
    return {
        "base_model": ([one for one in bases if one] or None) if "parts" in backbone else bases[0],
        "datasets": list(dict.fromkeys(one.partition(":")[0] for one in ids if one)),
    }


def _hub_id(source: Any) -> str | None:
    if not isinstance(source, str) or is_path(source) or Path(source).exists():
        return None
    name = source.partition(":")[0]
    is_file = name.lower().endswith((".csv", ".tsv", ".jsonl", ".json", ".parquet"))
    return source if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and not is_file else None


def title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " "))


def number(value: float | None) -> str:
    """Four decimals, or for what is large or tiny four significant digits."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 100 else f"{value:.4g}"


def span(interval: Sequence[float] | None) -> str:
    return f"{number(interval[0])} to {number(interval[1])}" if interval else ""


def duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def short_source(source: str | Mapping[str, str]) -> str:
    """A Hub id as it is; of a path, the last name; of several all different ones."""
    if isinstance(source, Mapping):
        return " and ".join(dict.fromkeys(map(short_source, source.values())))
    return last_name(source) if is_path(source) else source


def align(rows: Sequence[Sequence[str]], first: int = 0) -> str:
    """Columns of text: the first to the left and at least `first` wide, all others to the right, a rule under the
    titles. Widths are those on a screen, where a Chinese character takes two columns."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    widths[0] = max(widths[0], first)
    lines = []
    for row in rows:
        gaps = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [row[0] + gaps[0], *(gap + cell for gap, cell in zip(gaps[1:], row[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def _wrapped(name: str, line: str, first: int) -> str:
    lines = textwrap.wrap(line, _WIDTH - first - 2) or [""]
    return "\n".join(
        f"{start:<{first}}  {part}" for start, part in zip([name, *[""] * len(lines)], lines, strict=False)
    )


def one_line(name: str, width: int = _MAX_NAME) -> str:
    """A class name that cannot break the table."""
    name = " ".join("".join(char if char.isprintable() else " " for char in name).split())
    while _width(name) > width:
        name = name[:-4] + "..."
    return name


def _plain(value: Any) -> Any:
    """What JSON can hold: a finished run must not be lost to a numpy number, a path or a NaN (which becomes null)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "tolist"):  # numpy numbers and arrays, torch tensors
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value)


def _rows_in_lines(text: str) -> str:
    """Put each list of numbers into one line: the rows of a confusion matrix are read side by side."""

    def joined(found: re.Match) -> str:
        return "[" + " ".join(found[1].split()) + "]"

    # Only between values is there a line break in JSON; within a string it is written as two characters.
    return re.sub(r'\[\n\s+([^\[\]{}"]+?)\n\s+\]', joined, text)


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is not the output folder of a finished run") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold what a run writes")
    return content
