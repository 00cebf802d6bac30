"""How many tokens, or pixels, a batch of an extraction should hold on the device at hand.

    python benchmarks/budgets.py

Runs the embedded encoder over SMS rows, and the embedded net over random pictures, at several budgets in turn, batches
side by side as an extraction computes them; bfloat16 where the device multiplies it natively. The median of three
rounds goes to benchmarks/results/budgets-KIND.json, by kind of device. hf_transfer/batching.py holds the constants
that were chosen from it: a run never measures, since timing must not decide what is computed together.
"""

import statistics
import time
from pathlib import Path
from unittest import mock

import torch
from harness import dtypes, environment, write_results

from hf_transfer import batching
from hf_transfer.assembly import build_model
from hf_transfer.data import load_data
from hf_transfer.demo import demo_recipe
from hf_transfer.features.fast_copy import fast_copy
from hf_transfer.features.sources import Texts
from hf_transfer.inputs import collator, encode
from hf_transfer.precision import device_kind
from hf_transfer.recipe_files import load_recipe
from hf_transfer.replay import replay_of
from hf_transfer.streams import side_by_side

RESULTS = Path(__file__).resolve().parent / "results"
TOKENS = (1024, 2048, 4096, 8192, 16_384)
PIXELS = (100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000)
SIDES = (96, 224)
ROUNDS = 3
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main() -> None:
    tables = {"tokens": texts()}
    for side in SIDES:
        tables[f"pixels, {side} x {side}"] = images(side)
    for name, table in tables.items():
        print(name)
        for budget, per_dtype in table.items():
            print(f"  {budget:>10,}  " + "  ".join(f"{dtype} {rate:8.1f}/s" for dtype, rate in per_dtype.items()))
    kind = {"device": DEVICE.type, "chosen": {"tokens": batching.TOKENS, "pixels": batching.PIXELS}}
    content = {**kind, "unit": "rows per second, median of three", "rates": tables, "environment": environment()}
    write_results(RESULTS / f"budgets-{device_kind(DEVICE)}.json", content)


def texts() -> dict:
    recipe = demo_recipe(load_recipe("text/linear_probe"))
    splits = load_data(recipe.data, progress=False)
    tokenizer = recipe.backbone.processor()
    model = build_model(recipe.backbone, recipe.head, splits.labels, tokenizer).to(DEVICE)
    rows, collate = encode(recipe.backbone, tokenizer, splits.train), collator(recipe.backbone, tokenizer)
    per_budget = {}
    for budget in TOKENS:
        with mock.patch.dict(batching.TOKENS, {DEVICE.type: budget}):
            source = Texts(rows, collate, DEVICE.type)
        per_budget[budget] = [source.inputs(numbers) for numbers in source.batches]
    return rates(model, per_budget, len(rows))


def images(side: int) -> dict:
    recipe = demo_recipe(load_recipe("vision/linear_probe"))
    splits = load_data(recipe.data, progress=False)
    model = build_model(recipe.backbone, recipe.head, splits.labels, recipe.backbone.processor()).to(DEVICE)
    count = 3_200_000 // side**2 * 2
    pixels = torch.randn(count, 3, side, side).contiguous(memory_format=torch.channels_last)
    per_budget = {}
    for budget in PIXELS:
        with mock.patch.dict(batching.PIXELS, {DEVICE.type: budget}):
            batches = batching.by_pixels(count, side**2, DEVICE.type)
        per_budget[budget] = [{"pixel_values": pixels[rows[0] : rows[-1] + 1]} for rows in batches]
    return rates(model, per_budget, count)


@torch.inference_mode()
def rates(model, per_budget: dict[int, list], count: int) -> dict:
    replay, found = replay_of(model), {budget: {} for budget in per_budget}
    for name in dtypes():
        dtype = getattr(torch, name)
        few = {name: value[:2].to(DEVICE) for name, value in next(iter(per_budget.values()))[0].items()}
        twin = fast_copy(model, dtype, few, replay.record)
        seconds = {budget: [] for budget in per_budget}
        for number in range(ROUNDS + 1):  # the first one warms up
            for budget, batches in per_budget.items():
                taken = run(replay, twin, batches, dtype)
                seconds[budget] += [taken] if number else []
        for budget, all_of_them in seconds.items():
            found[budget][name] = round(count / statistics.median(all_of_them), 1)
    return found


def run(replay, twin, batches, dtype) -> float:
    """Seconds of a pass over all batches."""

    @torch.inference_mode()
    def recorded(inputs):
        inputs = {name: value.to(DEVICE) for name, value in inputs.items()}
        replay.record(twin, {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()})

    start = time.perf_counter()
    for _ in side_by_side(recorded, batches, DEVICE.type):
        pass
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
