"""Why a model cannot be exported, in one sentence out of the exporter's two hundred lines."""

import re
from pathlib import Path

from torch import nn

_LONGEST = 200  # characters of the exporter's own words


def why(error: BaseException, model: nn.Module, folder: Path) -> str:
    """Write the sentence: which operator or module it is, what the exporter says, and what to do.

    Args:
        error (`BaseException`): what `torch.onnx.export` raised; its causes are searched too.
        model (`nn.Module`): to name the module that was being traced.
        folder (`Path`): of the run.
    """
    causes = _causes(error)
    return (
        f"{folder} cannot be exported to ONNX: {_place(causes, model)}{_reason(causes[-1])}. It predicts with PyTorch "
        f"(`hf-transfer predict {folder}`); for ONNX take another backbone.checkpoint or other versions of torch and "
        "onnxscript; --traceback shows all"
    )


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while found[-1].__cause__ is not None:
        found.append(found[-1].__cause__)
    return found


def _place(causes: list[BaseException], model: nn.Module) -> str:
    for cause in reversed(causes):
        if operator := re.search(r"op='([\w:.]+)'|torch\.ops\.([\w.]+)", str(cause)):
            return f"its operator {operator.group(1) or operator.group(2)} has no translation: "
    names = {id(module): name for name, module in model.named_modules()}
    for cause in reversed(causes):
        trace, found = cause.__traceback__, None
        while trace is not None:
            module = trace.tb_frame.f_locals.get("self")
            if isinstance(module, nn.Module) and id(module) in names:
                found = module
            trace = trace.tb_next
        if found is not None:
            name = names[id(found)]
            return f"torch.export cannot trace its {type(found).__name__}{f' ({name})' if name else ''}: "
    return ""


def _reason(cause: BaseException) -> str:
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = re.sub(r"\x1b\[[\d;]*m", "", lines[0] if lines else "").rstrip(" .:")
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{type(cause).__name__}{f', {text}' if text else ''}"
