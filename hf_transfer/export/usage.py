"""How to run an exported model: the lines of Python, and the page beside it."""

from pathlib import Path

# The columns are classes; id2label in config.json names them.
_ANSWERS = {
    "multi_label_classification": "probabilities = 1 / (1 + np.exp(-logits))  # columns: id2label in config.json",
    "regression": "values = logits[:, 0]",
}
_SOFTMAX = """\
shares = np.exp(logits - logits.max(1, keepdims=True))
probabilities = shares / shares.sum(1, keepdims=True)  # columns: id2label in config.json"""
_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}  # here and there
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def code(predictor, names: tuple[str, ...], light: bool, folder: Path, run: str) -> str:
    """Write the lines that load an export and run it.

    Args:
        predictor (`Predictor`): of the run.
        names (`tuple[str, ...]`): inputs of the exported model.
        light (`bool`): tokenizer.json holds all that is needed to make them.
        folder (`Path`): where the export is, seen from where the lines will be run.
        run (`str`): where the run is.
    """
    if predictor.backbone.modality == "image":
        imports, lines = _image(predictor, run)
    elif light:
        imports, lines = _tokens(predictor, names, folder)
    else:
        imports, lines = _words(predictor, folder)
    imports = sorted(["import numpy as np", "from onnxruntime import InferenceSession", *imports], key=_order)
    lines += [
        f'session = InferenceSession("{(folder / "model.onnx").as_posix()}")',
        'logits = session.run(["logits"], inputs)[0]',
        _ANSWERS.get(predictor.labels.problem_type, _SOFTMAX),
    ]
    return "\n".join([*imports, "", *lines])


def page(name: str, facts: list[str], lines: str) -> str:
    """Write the README of an export.

    Args:
        name (`str`): what was exported.
        facts (`list[str]`): what it reads and says, and how it was checked.
        lines (`str`): the code, to be run in the folder of the export.
    """
    told = "\n".join(f"- {fact}" for fact in facts)
    return f"# {name} as ONNX\n\n{told}\n\nIn this folder:\n\n```python\n{lines}\n```\n"


def _tokens(predictor, names, folder: Path) -> tuple[list[str], list[str]]:
    pair = "text_pair" in predictor.columns
    texts = '[("a text", "its pair"), ("another", "and its pair")]' if pair else '["a text", "another, longer text"]'
    return ["from tokenizers import Tokenizer"], [
        f'tokenizer = Tokenizer.from_file("{(folder / "tokenizer.json").as_posix()}")  # cuts and pads too',
        f"rows = tokenizer.encode_batch({texts})",
        "inputs = {",
        *(f'    "{name}": np.array([row.{_FIELDS[name]} for row in rows]),' for name in names),
        "}",
    ]


def _words(predictor, folder: Path) -> tuple[list[str], list[str]]:
    pair = "text_pair" in predictor.columns
    texts = '["a text", "another"], ["its pair", "and its pair"]' if pair else '["a text", "another, longer text"]'
    return ["from transformers import AutoTokenizer"], [
        f'tokenizer = AutoTokenizer.from_pretrained("{folder.as_posix()}")',
        f'inputs = dict(tokenizer({texts}, padding=True, truncation=True, return_tensors="np"))',
    ]


def _image(predictor, run: str) -> tuple[list[str], list[str]]:
    steps, mode = predictor.processor.val_transforms.transforms, _MODES.get(predictor.backbone.in_chans)
    usual = [type(step).__name__ for step in steps] == ["Resize", "CenterCrop", "MaybeToTensor", "Normalize"]
    if mode is None or not usual or not isinstance(steps[0].size, int):
        # Another transform than timm's usual one is not written out once more.
        return ["from PIL import Image", "from hf_transfer import load"], [
            f'model = load("{run}")',
            'batch = model.backbone.preprocess({"image": [Image.open("photo.jpg")]}, model.processor)',
            'inputs = {"pixel_values": batch["pixel_values"].numpy()}',
        ]
    resize, crop, _, normalise = steps
    height, width = crop.size
    mean, std = _numbers(normalise.mean), _numbers(normalise.std)
    ordered = "pixels[None, None]" if mode == "L" else "pixels.transpose(2, 0, 1)[None]"
    return ["from PIL import Image"], [
        f'image = Image.open("photo.jpg").convert("{mode}")',
        f"size = [{resize.size} * side // min(image.size) for side in image.size]",
        f"image = image.resize(size, Image.Resampling.{resize.interpolation.name})",
        f"left, top = round((image.width - {width}) / 2), round((image.height - {height}) / 2)",
        f"image = image.crop((left, top, left + {width}, top + {height}))",
        f"pixels = (np.asarray(image, np.float32) / 255 - np.float32({mean})) / np.float32({std})",
        f'inputs = {{"pixel_values": {ordered}}}',
    ]


def _numbers(values) -> str:
    """One number where all channels share it; eight digits are what float32 holds."""
    numbers = [float(f"{float(value):.8g}") for value in values]
    return str(numbers[0] if len(set(numbers)) == 1 else numbers)


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line.lower()
