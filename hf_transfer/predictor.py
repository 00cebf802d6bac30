"""A finished model, loaded to predict and to be measured: what is reported is what this gives."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError
from .saved import load_processor, load_saved_model, saved_labels, saved_recipe


@dataclass(frozen=True)
class Prediction:
    """What a model says about one row.

    Args:
        label (`str`, `tuple[str, ...]` or `float`): the class; the classes above one half (several labels); the value.
        confidence (`float`, *optional*): probability of the class; of the least certain decision for several labels.
        probabilities (`dict[str, float]`): by class name; empty for regression.
    """

    label: str | tuple[str, ...] | float
    confidence: float | None
    probabilities: dict[str, float]


class Predictor:
    """A model folder that a run left behind, ready to predict.

    Args:
        folder (`Path`): holds `config.json`, weights, tokenizer or image settings, and `recipe.json`.
        trust_remote_code (`bool`): run code that its checkpoint brought; our own never needs it.
        model (`PreTrainedModel`, *optional*), recipe (`Recipe`, *optional*): of one of several tasks in the folder; by
            default what the folder holds.

    Raises:
        `UserError`: the folder is not a finished run, or weights are missing.
    """

    def __init__(self, folder: Path, trust_remote_code: bool = False, model=None, recipe=None):
        import torch

        from .inputs import collator

        self.folder = folder
        self.recipe = _of_target(saved_recipe(folder) if recipe is None else recipe)
        self.backbone = self.recipe.backbone
        self.model = load_saved_model(folder, self.backbone.modality, trust_remote_code) if model is None else model
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.labels = saved_labels(self.model.config)
        self.processor = load_processor(self.backbone, folder, self.model.config, trust_remote_code)
        self.collate = collator(self.backbone, self.processor)

    def logits(self, rows, description: str | None = None):
        """Return logits, a `np.ndarray` of shape `(rows, num_labels)`, for a `datasets.Dataset` of raw rows."""
        from .inference import predict_logits
        from .inputs import encode

        encoded = encode(self.backbone, self.processor, rows)
        return predict_logits(self.model, encoded, self.collate, description)

    def predict(self, inputs: Sequence) -> list[Prediction]:
        """Predict texts (`str`, or a pair of them) or images (`PIL.Image` or a file's path), in the order given; for a
        model that reads both, pairs of a text and an image.

        Raises:
            `UserError`: an input is of another kind, or an image file cannot be read.
        """
        if isinstance(inputs, str | os.PathLike):
            raise UserError("predict takes a list; for one input write predict([input])")
        if not len(inputs):
            return []
        rows = self._rows(list(inputs))
        try:
            return self._predictions(self.logits(rows))
        except OSError as error:  # PIL's, whose message names the file where it knows it
            if self.backbone.modality == "text":
                raise
            raise UserError(f"an image cannot be read: {error}") from error

    def _rows(self, inputs: list):
        from datasets import Dataset, Features, Image, Value

        if self.backbone.modality == "text_image":
            pairs = (isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], str) for item in inputs)
            if not all(pairs):
                raise UserError("this model reads a text and an image for each row: predict([(text, image), ...])")
            texts, images = zip(*inputs, strict=True)
            features = Features({"text": Value("string"), "image": Image()})
            return Dataset.from_dict({"text": texts, "image": _existing(images)}, features=features)
        if self.backbone.modality == "image":
            return Dataset.from_dict({"image": _existing(inputs)}, features=Features({"image": Image()}))
        if all(isinstance(item, str) for item in inputs):
            return Dataset.from_dict({"text": inputs})
        if all(isinstance(item, tuple | list) and len(item) == 2 for item in inputs):
            first, second = zip(*inputs, strict=True)
            return Dataset.from_dict({"text": list(first), "text_pair": list(second)})
        wrong = next(item for item in inputs if not isinstance(item, str))
        raise UserError(f"this model reads texts or pairs of texts; found a {type(wrong).__name__}")

    def _predictions(self, logits) -> list[Prediction]:
        from .scoring import probabilities

        kind, names = self.labels.problem_type, self.labels.names
        if kind == "regression":
            return [Prediction(float(value), None, {}) for value in logits[:, 0]]
        results = []
        for row in probabilities(logits, kind):
            shares = {name: float(share) for name, share in zip(names, row, strict=True)}
            if kind == "multi_label_classification":
                label = tuple(name for name, share in shares.items() if share > 0.5)
                confidence = min(max(share, 1 - share) for share in shares.values())
            else:
                label = max(shares, key=shares.get)
                confidence = shares[label]
            results.append(Prediction(label, confidence, shares))
        return results

    def predict_file(self, source: str | os.PathLike, output: str | os.PathLike, **reading) -> int:
        """Predict every row of a table, or every image under a folder, and write a CSV.

        The input's own columns are kept; added are `label`, `confidence` and one `prob_<label>` column per class (for
        regression, `prediction`). The file appears under its name only when it is whole.

        Args:
            reading: how a table is written (`sep`, `header`, `encoding`) and which columns to read (`text`,
                `text_pair`, `image`); by default as in training.

        Returns:
            `int`: the number of rows.
        """
        from .data import read_inputs

        output = Path(output)
        if output.is_dir() or not output.parent.is_dir():
            raise UserError(f"--output {output} must be a file in a folder that exists")
        columns = self._named(reading)
        inherited = self._table_settings(source)
        settings = inherited | {k: v for k, v in reading.items() if k in ("sep", "header", "encoding")}
        try:
            frame, rows = read_inputs(source, kind=self.backbone.modality, columns=columns, **settings)
        except UserError as error:
            unusual = inherited.get("sep") is not None or inherited.get("header") is False
            if unusual and settings == inherited:
                raise UserError(
                    f"{error}; it was read as the training table is written, sep {inherited['sep']!r} and header "
                    f"{str(inherited['header']).lower()}: --data.sep and --data.header say how this one is"
                ) from error
            raise
        results = self._predictions(self.logits(rows, "predict")) if len(rows) else []
        frame = frame.reset_index(drop=True)
        for name, values in self._columns(results).items():
            frame[self._free_name(name, frame.columns)] = values
        partial = output.with_name(f".{output.name}.partial")
        frame.to_csv(partial, index=False)
        os.replace(partial, output)
        return len(frame)

    def _table_settings(self, source) -> dict:
        """How the training table was written, for an input of the same kind of file."""
        data = self.recipe.data
        if Path(source).suffix.lower() != Path(str(data.train)).suffix.lower():
            return {}
        return {"sep": data.sep, "header": data.header, "encoding": data.encoding}

    @property
    def columns(self) -> dict:
        """The column names this model was trained on."""
        data = self.recipe.data
        names = [name for name in ("text", "text_pair", "image", "label") if hasattr(data, name)]
        return {name: getattr(data, name) for name in names if getattr(data, name) is not None}

    def _named(self, overrides: dict) -> dict:
        """The training columns, except where the caller names others."""
        return self.columns | {
            key: overrides[key] for key in overrides if key in ("text", "text_pair", "image", "label")
        }

    def _columns(self, results: list[Prediction]) -> dict[str, list]:
        if self.labels.problem_type == "regression":
            return {"prediction": [result.label for result in results]}
        separator = self.recipe.data.label_separator or ","
        labels = [r.label if isinstance(r.label, str) else separator.join(r.label) for r in results]
        columns = {"label": labels, "confidence": [result.confidence for result in results]}
        for name in self.labels.names:
            columns[f"prob_{name}"] = [result.probabilities[name] for result in results]
        return columns

    @staticmethod
    def _free_name(name: str, taken) -> str:
        # An input file that is labelled already keeps its own column.
        return name if name not in taken else f"predicted_{name}"

    def evaluate_file(self, source: str | os.PathLike, **overrides) -> dict[str, float]:
        """Measure on labelled rows; labels are matched by name.

        Args:
            overrides: fields of the recipe's data, such as `text="body"` or `label="stars"`.

        Returns:
            `dict[str, float]`: the recipe's metrics, and `loss`.

        Raises:
            `UserError`: a label that the model does not know, with its row.
        """
        from dataclasses import replace

        from .data import labels_of, load_labelled
        from .scoring import compute_metrics

        data = replace(self.recipe.data, **overrides)
        rows = load_labelled(data, source, self.labels, self._named(overrides))
        labels = labels_of(rows)
        logits = self.logits(rows.remove_columns("label"), "evaluate")
        return compute_metrics(logits, labels, self.labels.problem_type, self.recipe.metrics)


def _of_target(recipe):
    """Of a recipe with two domains, the one whose data are the target's: new rows are of that domain."""
    from .adaptation.checks import adapts
    from .adaptation.plain import plain

    return plain(recipe, recipe.data.target) if adapts(recipe) else recipe


def _existing(images: Sequence) -> list:
    """Images as they are, or the paths of files that are there."""
    found = [str(item) if isinstance(item, os.PathLike) else item for item in images]
    for path in found:
        if isinstance(path, str) and not Path(path).is_file():
            raise UserError(f"image {path!r} does not exist")
    return found


def load(folder: str | os.PathLike, trust_remote_code: bool = False):
    """Load a model that [`run`] left in `folder`.

    Args:
        folder (`str`): the `output_dir` of a run.
        trust_remote_code (`bool`): run code that the run's checkpoint brought; a head of ours never needs it.

    Returns:
        [`Predictor`]; of a model of several tasks a mapping of each task's name to its own, with
        `predict(inputs, task=NAME)`.

    Example:
        >>> load("out/").predict(["WINNER! Claim your prize now"])[0].label
        'spam'
    """
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"{path} is not a folder; give the output_dir of a finished run")
    recipe = saved_recipe(path)
    if not hasattr(recipe.data, "tasks"):
        return Predictor(path, trust_remote_code)
    from .multitask.predictors import TaskPredictors

    model = load_saved_model(path, recipe.backbone.modality, trust_remote_code, tasks=True)
    return TaskPredictors(path, recipe, model, Predictor)
