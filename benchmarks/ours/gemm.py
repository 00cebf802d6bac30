"""Rate of matrix products on this machine, the ceiling of everything else: fp32 and bf16.

python benchmarks/ours/gemm.py

A large square product, and those of a MiniLM block over 4,096 tokens. One multiply-add counts as two operations.
"""

import argparse
import json
import statistics
import time

import torch

TOKENS = 4096
# Of one block: four products with the attention's matrices, then up and down in the feed-forward part.
BLOCK = ((384, 384),) * 4 + ((384, 1536), (1536, 384))
LEAST_S = 0.15  # a measurement repeats its products for at least as long


def rate(products, dtype: torch.dtype, device: str) -> float:
    """GFLOP/s of computing all `products`, each `(rows, inner, columns)`, as the encoder does: `x @ w.T`."""
    draw = torch.Generator().manual_seed(0)
    pairs = [
        tuple(torch.randn(shape, generator=draw).to(device, dtype) for shape in ((rows, inner), (columns, inner)))
        for rows, inner, columns in products
    ]
    operations = sum(2 * rows * inner * columns for rows, inner, columns in products)

    def seconds(times: int) -> float:
        _synchronise(device)
        start = time.perf_counter()
        for _ in range(times):
            for x, weight in pairs:
                torch.nn.functional.linear(x, weight)
        _synchronise(device)
        return time.perf_counter() - start

    seconds(1)
    times = max(1, round(LEAST_S / seconds(1)))
    return operations * times / seconds(times) / 1e9


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16"))
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = {
        "large": [(asked.side,) * 3],
        "encoder": [(TOKENS, inner, columns) for inner, columns in BLOCK],
        "attention": [(TOKENS, 384, 384)],
        "up": [(TOKENS, 384, 1536)],
        "down": [(TOKENS, 1536, 384)],
    }
    found = {f"{name}_{kind}": [] for name in shapes for kind in asked.kinds}
    with torch.inference_mode():
        for _ in range(asked.rounds):
            for name, products in shapes.items():
                for kind in asked.kinds:
                    found[f"{name}_{kind}"].append(rate(products, getattr(torch, kind), device))
    print(json.dumps({name: statistics.median(rates) for name, rates in found.items()}))


if __name__ == "__main__":
    main()
