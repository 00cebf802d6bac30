"""The demo page of a model: type a text or drop an image, see the classes with their probabilities.

This one file draws the page in both places. As a Hugging Face Space it stands beside page.json and needs Gradio and
transformers, not the package that trained the model; `hf-transfer demo` hands it the model of a folder.
"""

import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageOps

SHOWN = 20  # bars at most, the most probable classes first
EXACT = 5  # of them with all decimals: a bar's 100% may be 99.6
COLOURS = {1: "L", 3: "RGB", 4: "RGBA"}  # PIL's mode by the number of channels a net reads
WANTED = {"text": "Type a text first.", "pair": "Type both texts first.", "image": "Choose an image first."}
STYLE = """
.html-container { padding: 0 !important; }
.about h1 { margin: 0 0 0.4rem; }
.about p { margin: 0.15rem 0; }
#picture img { width: 100%; height: 100%; object-fit: contain; }
.exact { font-size: 0.85rem; opacity: 0.8; }
.problem {
    padding: 0.6rem 0.8rem; border: 1px solid #b91c1c; border-radius: 6px; background: #fef2f2; color: #991b1b;
}
"""


class Refused(ValueError):
    """An input that the model cannot read; the message is shown in the page."""


def build(page: dict, predict: Callable[[Sequence[str]], dict[str, float] | float]) -> gr.Blocks:
    """Lay the page out.

    Args:
        page (`dict`): what page.json holds: the words of the page, the kind of input and of task, examples.
        predict (`Callable`): takes a text, two texts or the path of an image, as a list; returns probabilities by
            class name, or for regression the number. Raises [`Refused`] for what it cannot read.
    """
    number = page["problem_type"] == "regression"
    several = page["problem_type"] == "multi_label_classification"
    wanted = WANTED["pair" if len(page["inputs"]) > 1 else page["kind"]]

    def answer(*given: str | None) -> tuple[Any, Any, Any]:
        """Return what the parts on the right show: the result, a message instead of one, and the digits below it."""
        try:
            if not all(item and item.strip() for item in given):
                raise Refused(wanted)
            if page.get("channels") in COLOURS:
                read_image(given[0], page["channels"])
            found = predict(given)
        except Refused as problem:
            said = f'<div class="problem" role="alert">{escape(str(problem))}</div>'
            return None, gr.HTML(said, visible=True), gr.HTML(visible=False)
        if number:
            return f"{found:.4g}", gr.HTML("", visible=False), gr.HTML(visible=False)
        return found, gr.HTML("", visible=False), gr.HTML(_exact(found), visible=True)

    with gr.Blocks(title=page["title"], analytics_enabled=False) as blocks:
        gr.HTML(_about(page), elem_classes="about")
        with gr.Row():
            with gr.Column():
                inputs = [_input(page, name) for name in page["inputs"]]
                button = gr.Button("Predict" if number else "Classify", variant="primary", elem_id="go")
            with gr.Column():
                message = gr.HTML("", visible=False, elem_id="message")
                output = gr.Label(
                    label=page["answer"], num_top_classes=SHOWN, show_heading=not several, elem_id="answer"
                )
                exact = gr.HTML("", visible=False, elem_id="exact", elem_classes="exact")
        outputs = [output, message, exact]
        events = [button.click, *(box.submit if page["kind"] == "text" else box.upload for box in inputs)]
        gr.on(events, answer, inputs, outputs, api_name="predict")
        if page["examples"]:
            gr.Examples(
                [example if isinstance(example, list) else [example] for example in page["examples"]],
                inputs, outputs, answer, run_on_click=True, cache_examples=False, label="Examples",
            )  # fmt: skip
    return blocks


def launch(blocks: gr.Blocks, **settings) -> None:
    """Serve the page. Fonts are those of the reader's system, nothing is fetched from elsewhere, and the browser keeps
    nothing of what people type."""
    theme = gr.themes.Default(
        font=("ui-sans-serif", "system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
    )
    blocks.launch(
        theme=theme, css=STYLE, footer_links=[], ssr_mode=False, run_history=False, show_error=True, **settings
    )


def _about(page: dict) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in page["about"])
    if page.get("model"):
        address = f"https://huggingface.co/{page['model']}"
        lines += f'<p>Model: <a href="{address}" target="_blank">{escape(page["model"])}</a></p>'
    return f"<h1>{escape(page['title'])}</h1>{lines}"


def _exact(found: dict[str, float]) -> str:
    first = sorted(found.items(), key=lambda item: -item[1])[:EXACT]
    return escape(", ".join(f"{name} {share:.4f}" for name, share in first) + (", ..." if len(found) > EXACT else ""))


def _input(page: dict, name: str):
    if page["kind"] == "text":
        return gr.Textbox(label=name, lines=4, max_lines=20)
    if page["channels"] not in COLOURS:  # no browser shows such a file
        return gr.File(label=name, type="filepath", file_types=[".tif", ".tiff"])
    # The file itself is handed on: decoded and saved again it could be another picture.
    return gr.Image(
        label=name, type="filepath", image_mode=None, sources=["upload", "clipboard"], height=320, elem_id="picture"
    )


# ---------------------------------------------------------------------------------------------------------------------
# The Space


class Model:
    """A model of the Hub, loaded by transformers alone.

    Args:
        page (`dict`): of page.json: `model`, and `revision`, the commit that the figures of the page belong to; a head
            of its own brings code, which is run as it is in that commit.
    """

    def __init__(self, page: dict):
        from transformers import (
            AutoImageProcessor,
            AutoModelForImageClassification,
            AutoModelForSequenceClassification,
            AutoTokenizer,
        )

        image = page["kind"] == "image"
        settings = {"revision": page["revision"], "trust_remote_code": page["trust_remote_code"]}
        auto = AutoModelForImageClassification if image else AutoModelForSequenceClassification
        self.page = page
        self.model = auto.from_pretrained(page["model"], **settings).eval()
        self.processor = (AutoImageProcessor if image else AutoTokenizer).from_pretrained(page["model"], **settings)

    def __call__(self, given: Sequence[str]) -> dict[str, float] | float:
        """Return probabilities by class name, or for regression the number."""
        import torch

        if self.page["kind"] == "image":
            batch = self.processor(read_image(given[0], self.page["channels"]), return_tensors="pt")
        else:
            batch = self.processor(*given, truncation=True, max_length=self.page["max_length"], return_tensors="pt")
        with torch.inference_mode():
            logits = self.model(**batch).logits[0].double()
        if self.page["problem_type"] == "regression":
            return float(logits[0])
        several = self.page["problem_type"] == "multi_label_classification"
        shares = logits.sigmoid() if several else logits.softmax(-1)
        return {self.model.config.id2label[number]: float(share) for number, share in enumerate(shares)}


def read_image(path: str, channels: int) -> Image.Image:
    """Open an image as it was read in training: upright, transparency laid on white, 16 bits brought to 8.

    Raises:
        `Refused`: the file is damaged or no image.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Refused("This file cannot be read as an image.") from error
    mode = COLOURS[channels]
    if image.mode == "P" or (image.mode in ("RGBA", "LA", "PA") and mode != "RGBA"):
        image = image.convert("RGBA")
        if mode != "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image)
    return image.convert(mode)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    import numpy as np

    values = np.asarray(image, dtype=np.float32)
    if values.max(initial=0) > 255:
        values = values / 257  # 65535 / 255
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def main() -> None:
    page = json.loads(Path(__file__).with_name("page.json").read_text(encoding="utf-8"))
    try:
        model = Model(page)
    except OSError as error:
        raise SystemExit(
            f"{page['model']} cannot be loaded: {error}\nIf it is private, give this Space a secret named HF_TOKEN "
            "(under Settings) with a token that may read it."
        ) from error
    launch(build(page, model))


if __name__ == "__main__":
    main()
