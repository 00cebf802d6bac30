"""PyTorch model to ONNX graph, by `torch.onnx.export` on top of `torch.export`."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from torch import nn

from ..errors import UserError
from .failure import why

_ROWS, _TOKENS = 2, 7  # of the example to trace with; the check takes other numbers
_NOISY = ("torch", "torch.__trace", "onnxscript", "onnx_ir")


class _Logits(nn.Module):
    """Named tensors in, logits alone out; a stock class may also return states and caches."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, values, strict=True))).logits


def translate(model: nn.Module, batch: dict[str, torch.Tensor], backbone, folder: Path):
    """Translate a model in evaluation mode to ONNX.

    Args:
        batch (`dict[str, torch.Tensor]`): real inputs, for their names, types and the size of images.
        backbone (`TextBackbone` or `ImageBackbone`): says which axes are dynamic.
        folder (`Path`): named when it fails.

    Returns:
        `torch.onnx.ONNXProgram` with one output, `logits`.

    Raises:
        `UserError`: which part of the model cannot be exported.
    """
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    axes = {0: "batch", 1: "length"} if backbone.modality == "text" else {0: "batch"}
    names = input_names(batch)
    example = _example(batch, backbone)
    _forget_recurrent_kernels()
    with _silence() as said:
        try:
            program = torch.onnx.export(
                _Logits(model, names),
                tuple(example[name] for name in names),
                dynamo=True,
                dynamic_shapes={"values": tuple(dict(axes) for _ in names)},
                input_names=list(names),
                output_names=["logits"],
                verbose=False,
            )
        except Exception as error:  # torch.export, the translation and the optimiser have no class in common
            error.add_note(said.getvalue())  # the graph, for --traceback
            raise UserError(why(error, model, folder)) from error
        # Each node carries the stack it was traced from: a third of a small file, and full of this disk's paths.
        ClearMetadataAndDocStringPass()(program.model)
    return program


def input_names(batch: dict[str, torch.Tensor]) -> tuple[str, ...]:
    """Put a model's inputs into one order, `input_ids` first; a batch comes in any."""
    return tuple(sorted(batch, key=lambda name: (name != "input_ids", name)))


def signature(program) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Return a program's opset, and what it reads and says: `input_ids int64 (batch, length)`."""
    graph = program.model.graph
    reads, says = ([_told(value) for value in values] for values in (graph.inputs, graph.outputs))
    return program.model.opset_imports[""], tuple(reads), tuple(says)


def _told(value) -> str:
    kind = {"FLOAT": "float32"}.get(value.dtype.name, value.dtype.name.lower())
    return f"{value.name} {kind} ({', '.join(map(str, value.shape))})"


def _example(batch: dict[str, torch.Tensor], backbone) -> dict[str, torch.Tensor]:
    """Inputs to trace with; their shapes do not hang on the rows at hand, so that equal models give equal files."""
    example = {}
    for name, values in batch.items():
        shape = values.shape[1:] if backbone.modality == "image" else (min(_TOKENS, backbone.max_length),)
        example[name] = torch.zeros(_ROWS, *shape, dtype=values.dtype)
    if "attention_mask" in example:
        example["attention_mask"][:, :-1] = 1
        example["attention_mask"][0] = 1  # the second row is padded
    return example


def _forget_recurrent_kernels() -> None:
    """Let an export find LSTM and GRU as the first one in a process does.

    `torch.export` puts its own kernels in the place of these operators' while it traces, and PyTorch 2.14 remembers
    which one it called last. A second export would take the layer apart, step by step, and fix the length of texts.
    """
    for operator in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        operator._dispatch_cache.clear()


@contextmanager
def _silence() -> Iterator[io.StringIO]:
    """Keep what the exporter says to its own developers off the screen: prints, logs and warnings."""
    loggers, said = [logging.getLogger(name) for name in _NOISY], io.StringIO()
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(said), redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
