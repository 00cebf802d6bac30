"""What a training step of a text encoder gains on a CPU from each way of computing the same batch.

    python benchmarks/training_steps.py            # four minutes on two idle cores

The same batches of the SMS rows (32 drawn at random, MiniLM-L6 whole) in turn, in float32 and, where the CPU
multiplies it natively, in bfloat16 under autocast: padded, by the stock model; padded, with faster dropout
(`hf_transfer/cpu`); in groups of like length, a call each; and as one sequence, which is what a run does. Wall and CPU
seconds of a pass over the batches go to benchmarks/results/training_steps.json, round by round; this kind of device's
entry is replaced.
"""

import copy
import statistics
from pathlib import Path

import torch
import workload
from harness import dtypes, environment, merge
from in_turn import in_turn
from torch import nn

from hf_transfer import NativeHead, length_chunks
from hf_transfer.assembly import build_model
from hf_transfer.cpu.swap import FastRandomness
from hf_transfer.data import Labels
from hf_transfer.demo import demo_recipe
from hf_transfer.inputs import collator, encode
from hf_transfer.length_chunks import LengthChunks
from hf_transfer.precision import device_kind
from hf_transfer.recipe_files import load_recipe
from hf_transfer.sampling import GlobalBatches

RESULTS = Path(__file__).resolve().parent / "results" / "training_steps.json"
ROWS, BATCH, ROUNDS = 1_600, 32, 3
STOCK = "padded, stock"


def main() -> None:
    model, batches = prepared()
    sides = {
        f"{name}, {dtype}": stepper(made(copy.deepcopy(model)), dtype)
        for dtype in dtypes()
        for name, made in WAYS.items()
    }
    seconds = in_turn(sides, batches, ROUNDS)
    for name, taken in seconds.items():
        stock = seconds[f"{STOCK}, {name.rpartition(', ')[2]}"]["wall_s"]
        taken["rows_per_s"] = round(BATCH * len(batches) / statistics.median(taken["wall_s"]), 1)
        taken["over_stock"] = [round(one / other, 3) for one, other in zip(stock, taken["wall_s"], strict=True)]
        print(
            f"{name:34}{taken['rows_per_s']:8.1f} rows/s, {statistics.median(taken['over_stock']):.2f} times {STOCK}"
        )
    content = {"batches": len(batches), "batch": BATCH, "sides": seconds, "environment": environment()}
    merge(RESULTS, device_kind("cpu"), content)


def fast(model):
    """Faster dropout, on the padded batch."""
    FastRandomness(model)
    return model


def in_groups(model):
    """One call of the encoder for each group of like length."""
    LengthChunks(fast(model))

    def forward(**inputs):
        serves = length_chunks.serves
        length_chunks.serves = lambda encoder: False
        try:
            return model(**inputs)
        finally:
            length_chunks.serves = serves

    return Called(model, forward)


def one_sequence(model):
    """What a run does."""
    LengthChunks(fast(model))
    return model


class Called(nn.Module):
    """A model that is called in another way."""

    def __init__(self, model, forward):
        super().__init__()
        self.model, self.forward = model, forward


WAYS = {STOCK: lambda model: model, "padded, fast": fast, "groups": in_groups, "one sequence": one_sequence}


def prepared():
    """The model, every fourth batch of an epoch."""
    from datasets import Dataset

    recipe = demo_recipe(load_recipe("text/full_finetune"))
    backbone, processor = recipe.backbone, recipe.backbone.processor()
    rows = Dataset.from_csv(str(workload.sms(ROWS).train), keep_default_na=False)
    names = sorted(set(rows["label"]))
    rows = Dataset.from_dict({"text": rows["text"][:], "label": [names.index(one) for one in rows["label"]]})
    encoded, collate = encode(backbone, processor, rows), collator(backbone, processor)
    model = build_model(backbone, NativeHead(), Labels("single_label_classification", tuple(names)), processor).train()
    plan = GlobalBatches(len(rows), BATCH)
    return model, [collate(list(encoded.select(numbers))) for numbers in list(plan)[::4]]


def stepper(model, dtype: str):
    """A function of a batch: forward, backward, clipping and AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def step(batch):
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = model(**inputs).logits
        nn.functional.cross_entropy(logits.float(), batch["labels"]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
