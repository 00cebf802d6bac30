"""`hf-transfer evaluate`."""

from ..data.spec import ImageClassification, TextClassification
from ..flags import Flag, noun_flags
from .common import READING, TASK, TRACEBACK, TRUST, check_meant, folder_and_flags, helped, loaded

COLUMNS = ("label", "label_separator", *READING)
FLAGS = {
    "data.test": Flag("data.test", ("str",), help="a labelled file, or a folder of class folders with images"),
    **noun_flags("data", TextClassification, dict.fromkeys(("text", "text_pair", "drop_empty", *COLUMNS))),
    **noun_flags("data", ImageClassification, dict.fromkeys(("image", "drop_broken"))),
    "task": TASK,
    "trust_remote_code": TRUST,
    "traceback": TRACEBACK,
}


def main(words: list[str]) -> None:
    usage = "hf-transfer evaluate OUT --data.test FILE_OR_FOLDER"
    text = "Measure the model that a run left in OUT; labels are matched by name. Columns are those of the run."
    if helped(words, usage, text, FLAGS):
        return
    folder, values = folder_and_flags(words, usage, FLAGS, required=("data.test",))

    predictor = loaded(folder, values)
    overrides = {name.removeprefix("data."): value for name, value in values.items() if name.startswith("data.")}
    source = overrides.pop("test")
    check_meant(overrides, predictor)
    metrics = predictor.evaluate_file(source, **overrides)
    width = max(map(len, metrics))
    for name, value in metrics.items():
        print(f"{name:{width}}  {value:.4f}")
