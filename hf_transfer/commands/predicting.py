"""`hf-transfer predict`."""

from ..data.spec import ImageClassification, TextClassification
from ..flags import Flag, noun_flags
from .common import READING, TASK, TRACEBACK, TRUST, check_meant, folder_and_flags, helped, loaded

FLAGS = {
    "input": Flag("input", ("str",), help="a table of texts or image paths, or a folder of images"),
    "output": Flag("output", ("str",), help="the CSV file to write"),
    **noun_flags("data", TextClassification, dict.fromkeys(("text", "text_pair", *READING))),
    **noun_flags("data", ImageClassification, dict.fromkeys(("image",))),
    "task": TASK,
    "trust_remote_code": TRUST,
    "traceback": TRACEBACK,
}


def main(words: list[str]) -> None:
    usage = "hf-transfer predict OUT --input FILE_OR_FOLDER --output FILE.csv"
    text = "Label new rows with the model that a run left in OUT; the input's columns are kept."
    if helped(words, usage, text, FLAGS):
        return
    folder, values = folder_and_flags(words, usage, FLAGS, required=("input", "output"))

    reading = {name.removeprefix("data."): value for name, value in values.items() if name.startswith("data.")}
    predictor = loaded(folder, values)
    check_meant(reading, predictor)
    count = predictor.predict_file(values["input"], values["output"], **reading)
    print(f"{count} rows with predictions: {values['output']}")
