"""From the folder of a finished run to one with ONNX: translated, written, checked, and only then in its place."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ..errors import UserError

MODEL = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LIMIT = 1e-4  # of a probability; the order of float32 sums alone moves one by 1e-7 to 1e-5
_NOT_KEPT = ("auto_map", "_name_or_path")  # code that does not go along, and where a checkpoint lay on this disk


@dataclass(frozen=True)
class Exported:
    """A model as ONNX, and how well it agrees with the model it was made from.

    Args:
        folder (`Path`): holds `model.onnx`, the tokenizer of a text model, `config.json` and `README.md`.
        size (`int`): of the model with its weights, in bytes.
        opset (`int`): version of the ONNX operator set.
        inputs (`tuple[str, ...]`): what the model reads: `input_ids int64 (batch, length)`.
        outputs (`tuple[str, ...]`): what it says: `logits float32 (batch, 2)`.
        difference (`float`): largest difference of a probability to PyTorch's; for regression of a value, divided by
            it where it is above 1.
        checked (`str`): on which rows, in words.
        code (`str`): Python lines that run it.
    """

    folder: Path
    size: int
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float
    checked: str
    code: str


def export_onnx(
    folder: str | os.PathLike,
    output: str | os.PathLike | None = None,
    *,
    rows: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the model of a finished run as ONNX, and check it with onnxruntime against PyTorch.

    The batch is a dynamic axis, for texts the length too. The check runs other batch sizes and lengths than those
    that were traced; an export that fails it is not kept.

    Args:
        folder (`str`): the `output_dir` of a run.
        output (`str`, *optional*): where to; by default `folder/onnx`.
        rows (`str`, *optional*): a table of texts or images, or a folder of images, to check on; by default the run's
            own data, or made-up rows where those are not on this disk any more.
        overwrite (`bool`): replace the export in `output`; other files there stay.

    Returns:
        [`Exported`]

    Raises:
        `UserError`: a package is missing, `folder` is not a finished run, `output` is taken, the model cannot be
            exported, or onnxruntime's probabilities differ by more than 1e-4.
    """
    _check_packages()
    folder = Path(folder)
    target = folder / "onnx" if output is None else Path(output)
    _check_target(target, overwrite)

    from ..predictor import load
    from . import parity, usage
    from .graph import input_names, signature, translate
    from .rows import check_batches

    predictor = load(folder)
    if hasattr(predictor, "of"):
        raise UserError(f"{folder} has several tasks; --task NAME takes one out: {', '.join(predictor)}")
    if hasattr(predictor.backbone, "parts"):
        raise UserError(
            f"{folder} is a fused model, and ONNX takes models with one network for now; predict with PyTorch "
            f"(`hf-transfer predict {folder}`)"
        )
    with _staged(target) as partial:
        model = predictor.model.to("cpu").eval()
        batches, source = check_batches(predictor, rows)
        program = translate(model, batches[0], predictor.backbone, folder)
        opset, inputs, outputs = signature(program)
        program.save(partial / MODEL)  # one file; above 1.5 GB the weights are a second one
        size = sum(path.stat().st_size for path in partial.iterdir())
        difference = parity.compare(model, partial / MODEL, batches, folder)
        if not difference <= LIMIT:  # nor when it is not a number
            raise UserError(
                f"the export of {folder} was not kept: onnxruntime's answers differ from PyTorch's by up to "
                f"{difference:.2g}, allowed is {LIMIT:g}; predict with PyTorch (`hf-transfer predict {folder}`), or "
                "try other versions of torch, onnxscript and onnxruntime"
            )
        checked = parity.words(batches, source)
        light = _write_tokenizer(predictor, partial) if predictor.backbone.modality == "text" else False
        _write_config(folder, partial)
        names = input_names(batches[0])
        facts = [
            f"`{MODEL}`: {size / 1e6:,.1f} MB, ONNX opset {opset}, made by torch {version('torch')}",
            *(f"reads {one}" for one in inputs),
            *(f"says {one}" for one in outputs),
            f"largest difference to PyTorch {difference:.1e}, in onnxruntime {version('onnxruntime')} on {checked}",
        ]
        here = usage.code(predictor, names, light, Path(), "OUT")
        page = usage.page(folder.resolve().name, facts, here)
        (partial / "README.md").write_text(page, encoding="utf-8")
        _publish(partial, target)
    code = usage.code(predictor, names, light, target, folder.as_posix())
    return Exported(target, size, opset, inputs, outputs, difference, checked, code)


def _check_packages() -> None:
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise UserError(
            f"an export needs the package{'s' * (len(absent) > 1)} {', '.join(absent)}: "
            "pip install 'hf-transfer-recipes[onnx]'"
        )


def _check_target(target: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise UserError(f"--output {target} is a file; a folder is needed")
    held = sorted(path.name for path in target.iterdir()) if target.exists() else []
    if held and not overwrite:
        raise UserError(f"--output {target} is not empty (it holds {held[0]}); --overwrite replaces an export there")
    if held and MODEL not in held:
        raise UserError(f"--output {target} holds no {MODEL} that --overwrite could replace; name another folder")


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder beside `target` to build in, which is gone afterwards, whatever happens."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--output {target} cannot be made: {error.strerror}") from error
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _publish(partial: Path, target: Path) -> None:
    """Move a whole export to its place; file by file, since other files of an existing folder stay."""
    target.mkdir(exist_ok=True)
    if not (partial / f"{MODEL}.data").exists():
        (target / f"{MODEL}.data").unlink(missing_ok=True)  # of an earlier export that was larger
    for path in sorted(partial.iterdir()):
        os.replace(path, target / path.name)


def _write_config(folder: Path, partial: Path) -> None:
    """Write the model's configuration, whose `id2label` names the columns; without what would load Python code."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for part in (config, config.get("backbone_config") or {}):
        for name in _NOT_KEPT:
            part.pop(name, None)
    (partial / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_tokenizer(predictor, partial: Path) -> bool:
    """Write the tokenizer; True when tokenizer.json alone is enough.

    It then holds how to cut and pad as well, so that the tokenizers library feeds the model without transformers.
    """
    tokenizer = predictor.processor
    tokenizer.save_pretrained(partial)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return False
    from tokenizers import Tokenizer

    whole = Tokenizer.from_str(backend.to_str())
    whole.enable_truncation(predictor.backbone.max_length)
    whole.enable_padding(
        pad_id=tokenizer.pad_token_id, pad_type_id=tokenizer.pad_token_type_id, pad_token=tokenizer.pad_token
    )
    whole.save(str(partial / "tokenizer.json"))
    return True
