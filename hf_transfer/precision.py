"""Which dtype is faster here: looked up in a committed table of measurements, never timed in a run.

bfloat16 computes several times faster than float32 on some devices and slower on others, and differently for each kind
of model, its size, and the phase: extracting features may gain where training the same net loses. precision.json holds
what benchmarks/precision.py measured. Timing decides nothing at run time, or results would depend on it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import isclose, isfinite, log

from .errors import UserError

DTYPES = ("auto", "float32", "bfloat16")
PHASES = {"features": "extraction", "train": "training"}
WORTH_IT = 1.1  # bfloat16 costs digits, so it must gain more than one measurement differs from the next
FIELDS = ("device", "phase", "kind", "size", "float32_per_s", "bfloat16_per_s", "speedup")


@dataclass(frozen=True)
class Choice:
    """A dtype and why.

    Args:
        dtype (`str`): `"float32"` or `"bfloat16"`.
        reason (`str`): a short phrase for the screen.
    """

    dtype: str
    reason: str


def choose(phase: str, kind: str, size: int, device, asked: str = "auto") -> Choice:
    """Choose the dtype of one phase of a run.

    Args:
        phase (`str`): `"features"` (forward alone, weights in the dtype) or `"train"` (autocast over float32 weights).
        kind (`str`), size (`int`): what the table calls the model, from [`kind_of`]. Of several measured sizes the
            nearest by ratio counts.
        device (`str` or `torch.device`): where it computes.
        asked (`str`): the user's `--dtype`: `"float32"` or `"bfloat16"` wins; `"auto"` reads the table and takes
            bfloat16 where it was measured to be at least 1.1 times as fast.

    Returns:
        `Choice`: the same for the same arguments and the same kind of device, whatever the load of the machine.

    Raises:
        `UserError`: `asked` is another word, or bfloat16 on a device that cannot compute it.
    """
    if phase not in PHASES:
        raise ValueError(f"phase is {phase!r}; allowed: {', '.join(PHASES)}")
    if asked not in DTYPES:
        raise UserError(f"--dtype is {asked!r}; allowed: {', '.join(DTYPES)}")
    if asked == "bfloat16":
        _check_bfloat16(device)
    if asked != "auto":
        return Choice(asked, "asked for")
    here = device_kind(device)
    rows = [row for row in read_table() if (row["device"], row["phase"], row["kind"]) == (here, phase, kind)]
    if not rows:
        measured = any(row["device"] == here for row in read_table())
        what = f"of {kind} {PHASES[phase]} for {here}" if measured else f"for {here}"
        return Choice("float32", f"no measurement {what}; --dtype bfloat16 tries it")
    nearest = min(rows, key=lambda row: (abs(log(row["size"] / size)), row["size"]))
    speedup = nearest["speedup"]
    if speedup >= WORTH_IT:
        return Choice("bfloat16", f"{speedup:.1f} times float32 here by the committed table")
    return Choice("float32", f"bfloat16 is {speedup:.2f} times float32 here by the committed table")


def device_kind(device) -> str:
    """Name the kind of device the table tells apart: by what it is and whether it has bfloat16 instructions.

    Args:
        device (`str` or `torch.device`): such as `"cpu"` or `"cuda:0"`.

    Returns:
        `str`: `"cpu-amx"`, `"cpu-avx512_bf16"` or `"cpu"` (neither); `"cuda-bf16"` or `"cuda"` (only emulated); else
        PyTorch's own name, such as `"mps"`.
    """
    import torch

    device = torch.device(device)
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return "cpu-amx" if able.get("amx_bf16") else "cpu-avx512_bf16" if able.get("avx512_bf16") else "cpu"
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "cuda-bf16" if native else "cuda"
    return device.type


def kind_of(model) -> tuple[str, int]:
    """Name a model as the table does.

    Args:
        model (`nn.Module`): a text or image model that `build_model` made, or a replay module of its head.

    Returns:
        `tuple[str, int]`: kind and size: `"encoder"` and its hidden width; `"embeddings"` (input embeddings alone)
        and their width; `"cnn"`, `"cnn-depthwise"` or `"vit"` and the side of its input in pixels; for a replay module
        `"lstm"` or `"gru"` and hidden units, `"attention"` and the width of a token state, or `"pooled"` (one linear
        layer) or `"mlp"` and the width of the vectors it reads.
    """
    if hasattr(model, "keeps"):
        return _kind_of_head(model)
    net = next((module for name, module in model.named_modules() if name.split(".")[-1] == "timm_model"), None)
    if net is not None:
        cfg = getattr(model.config, "pretrained_cfg", None) or net.pretrained_cfg
        _, height, width = cfg["input_size"]
        return _kind_of_net(net), round((height * width) ** 0.5)
    if getattr(model.config, "embeddings_only", False):
        return "embeddings", model.get_input_embeddings().embedding_dim
    encoder = getattr(model.config, "backbone_config", model.config)
    return "encoder", encoder.get_text_config().hidden_size


def _kind_of_head(replay) -> tuple[str, int]:
    from torch import nn

    for module in replay.modules():
        if isinstance(module, nn.RNNBase):
            return type(module).__name__.lower(), module.hidden_size
        if isinstance(module, nn.MultiheadAttention):
            return "attention", module.embed_dim
    matrices = [parameter for parameter in getattr(replay, "head", replay).parameters() if parameter.ndim > 1]
    return "pooled" if len(matrices) == 1 else "mlp", matrices[0].shape[1]


def _kind_of_net(net) -> str:
    """Tell timm nets apart by what they compute with.

    A hybrid that is mostly convolutions, such as MobileNetV4's, takes its speed from those; and depthwise convolutions
    gain from bfloat16 at other sizes than dense ones.
    """
    from torch import nn

    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    # timm's attention classes share no base; all of them know a number of heads (Hiera's calls it `heads`).
    attends = any(hasattr(module, "num_heads") or hasattr(module, "heads") for module in net.modules())
    if attends and _weights(linear) > _weights(convolutions):
        return "vit"
    return "cnn-depthwise" if any(conv.groups == conv.in_channels > 1 for conv in convolutions) else "cnn"


def _weights(modules) -> int:
    return sum(module.weight.numel() for module in modules)


def _check_bfloat16(device) -> None:
    """Multiply once in bfloat16: no list of devices says it better than the device itself."""
    import torch

    try:
        ones = torch.ones(2, 2, dtype=torch.bfloat16, device=device)
        ones @ ones
    except (
        RuntimeError,
        TypeError,
        AssertionError,
    ) as error:  # TypeError: old MPS; AssertionError: torch without CUDA
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--dtype is 'bfloat16', which {device} cannot compute ({reason}); use float32") from error


@cache
def read_table() -> tuple[dict, ...]:
    """Read the rows of precision.json, checked."""
    content = json.loads(files(__package__).joinpath("precision.json").read_text(encoding="utf-8"))
    return check_table(content)


def check_table(content: Mapping) -> tuple[dict, ...]:
    """Check a table as precision.json holds it.

    Args:
        content (`Mapping`): `devices`, each with the torch version, cores and threads of its measurement, and `rows`,
            each with `device`, `phase`, `kind`, `size`, `float32_per_s`, `bfloat16_per_s` (texts, images or training
            samples per second) and `speedup`, the second over the first.

    Returns:
        `tuple[dict, ...]`: the rows.

    Raises:
        `ValueError`: a row that is malformed, or that stands there twice; it is named.
    """
    seen = set()
    for number, row in enumerate(content["rows"]):
        where = f"precision.json, row {number} ({json.dumps(row)})"
        missing = [field for field in FIELDS if field not in row]
        if missing:
            raise ValueError(f"{where}: {', '.join(missing)} missing")
        if row["device"] not in content["devices"] or row["phase"] not in PHASES or not isinstance(row["kind"], str):
            raise ValueError(
                f"{where}: device must be one of `devices`, phase one of {', '.join(PHASES)}, kind a word"
            )
        for field in FIELDS[3:]:
            value = row[field]
            if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or value <= 0:
                raise ValueError(f"{where}: {field} must be a positive number")
        if not isclose(row["speedup"], row["bfloat16_per_s"] / row["float32_per_s"], rel_tol=0.01):
            raise ValueError(f"{where}: speedup is not bfloat16_per_s / float32_per_s")
        key = tuple(row[field] for field in FIELDS[:4])
        if key in seen:
            raise ValueError(f"{where}: device, phase, kind and size stand there twice")
        seen.add(key)
    return tuple(content["rows"])
