"""What the package's own computing on a CPU gains over PyTorch's: convolutions that stand still, and the LSTM head.

    python benchmarks/cpu_kernels.py            # three minutes on two idle cores

Convolutions: features of timm's nets on random pictures, a batch as large as an extraction's, on one thread as there;
BatchNorm folded, channels last, and then packed (`hf_transfer/cpu/convolutions.py`) or not. The LSTM head: steps of
forward and backward on random states with lengths of the benchmark's texts, 64 rows a batch; padded, in groups of like
length, and all lengths together (`hf_transfer/cpu/lstm.py`); in bfloat16 too where the CPU multiplies it natively.
Writes benchmarks/results/cpu_kernels.json: this kind of device's entry is replaced.
"""

import copy
import statistics
from pathlib import Path
from unittest import mock

import torch
import workload
from harness import dtypes, environment, merge
from in_turn import in_turn
from torch import nn

from hf_transfer import length_chunks
from hf_transfer.batching import PIXELS
from hf_transfer.cpu.convolutions import pack_convolutions
from hf_transfer.cpu.swap import FastRandomness
from hf_transfer.features.folding import fold_batch_norms
from hf_transfer.hub.heads_transfer import Features, LSTMHead
from hf_transfer.length_chunks import LengthChunks
from hf_transfer.precision import device_kind

RESULTS = Path(__file__).parent / "results" / "cpu_kernels.json"
NETS, SIDES = ("tf_efficientnet_lite0", "mobilenetv3_large_100", "resnet18"), (96, 224)
ROUNDS, BATCHES = 5, 8
ROWS, WIDTH = 64, 384


def main() -> None:
    entry = {"environment": environment(), "convolutions": {}, "lstm": {}}
    for name in NETS:
        for side in SIDES:
            what = f"{name}, {side} x {side}"
            entry["convolutions"][what] = told(what, convolutions(name, side))
    for dtype in dtypes():
        entry["lstm"][dtype] = told(f"LSTM head, {dtype}", lstm(dtype))
    merge(RESULTS, device_kind("cpu"), entry)


def convolutions(name: str, side: int) -> dict:
    import timm

    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0).eval().requires_grad_(False)
    fold_batch_norms(net)
    net = net.to(memory_format=torch.channels_last)
    packed = copy.deepcopy(net)
    pack_convolutions(packed)
    batch = torch.randn(PIXELS["cpu"] // side**2, 3, side, side).contiguous(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return in_turn({"as it is": net, "packed": packed}, [batch] * BATCHES, ROUNDS)
    finally:
        torch.set_num_threads(before)


class Model(nn.Module):
    """The head alone."""

    def __init__(self, head):
        super().__init__()
        self.head = head


def lstm(dtype: str) -> dict:
    torch.manual_seed(0)
    whole = Model(LSTMHead(WIDTH, 2)).train()
    FastRandomness(whole)
    ways = copy.deepcopy(whole)
    LengthChunks(ways)

    def stepper(model, together: bool):
        def step(features):
            with mock.patch.object(length_chunks, "_steps_together", lambda *_: together):
                with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                    logits = model.head(features)
                logits.float().square().sum().backward()
            model.zero_grad()

        return step

    sides = {"padded": stepper(whole, False), "in groups": stepper(ways, False), "together": stepper(ways, True)}
    return in_turn(sides, batches_of_states(), ROUNDS)


def batches_of_states() -> list[Features]:
    """Batches of random states, whose lengths are those of the benchmark's texts."""
    tokenizer = workload.wordpiece()
    lines = workload.texts(10_000).train.read_text(encoding="utf-8").splitlines()[1 : 1 + BATCHES * ROWS]
    lengths = torch.tensor([len(encoded.ids) for encoded in tokenizer.encode_batch(lines)]).clamp(max=60)
    made = []
    for part in lengths.split(ROWS):
        mask = (torch.arange(int(part.max())) < part[:, None]).long()
        made.append(Features(torch.randn(*mask.shape, WIDTH), mask))
    return made


def told(what: str, sides: dict) -> dict:
    """Add how many times as fast as the first side each other one is, by rounds, and tell it."""
    first = next(iter(sides.values()))
    for name, taken in list(sides.items())[1:]:
        taken["times_as_fast"] = [round(a / b, 3) for a, b in zip(first["wall_s"], taken["wall_s"], strict=True)]
        print(f"{what}: {name} {statistics.median(taken['times_as_fast']):.2f} times {next(iter(sides))}", flush=True)
    return sides


if __name__ == "__main__":
    main()
