"""`hf-transfer demo`."""

from ..flags import Flag
from .common import TRACEBACK, folder_and_flags, helped

FLAGS = {
    "port": Flag("port", ("int",), help="of the page's address; by default the first free one from 7860 on"),
    "open": Flag("open", ("bool",), help="open the page in the browser"),
    "examples": Flag(
        "examples",
        ("str",),
        help="a table, or a folder of images, with inputs to try; by default rows of the run's test split",
    ),
    "traceback": TRACEBACK,
}


def main(words: list[str]) -> None:
    usage = "hf-transfer demo OUT"
    text = "A page on this machine: type a text or drop an image, and see what the model in OUT says. Ctrl-C ends it."
    if helped(words, usage, text, FLAGS):
        return
    folder, values = folder_and_flags(words, usage, FLAGS)

    from ..web.serve import serve

    serve(folder, values.get("port"), bool(values.get("open")), values.get("examples"))
