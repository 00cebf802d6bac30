"""Benchmarks of feature extraction, and of the matrix products that bound it."""

import tempfile
from pathlib import Path

import workload
from harness import alternate, column, compare, dtypes, fast_bf16, quantity, run_script
from sizes import Sizes

EMULATED = "bfloat16, which this CPU emulates, is left out."


def gemm(sizes: Sizes) -> dict:
    """The rate of matrix products: the ceiling of everything else."""
    found = alternate({"matrix products": lambda _: _gemm(sizes)}, sizes.repetitions)["matrix products"]
    side = sizes.gemm_side
    rows = []
    for name, words in (("large", f"{side} x {side} x {side}"), ("encoder", "of a MiniLM block over 4,096 tokens")):
        for dtype in dtypes():
            rates = column(found, f"{name}_{dtype}")
            rows.append(quantity(f"matrix products, {words}, {dtype}", rates, unit="GFLOP/s"))
    notes = [] if fast_bf16() else [f"Matrix products: {EMULATED}"]
    return {"rows": rows, "notes": notes, "details": {"repetitions": found}}


def text_features(sizes: Sizes) -> dict:
    """Sentence embeddings of texts, on a warm model, tokenisation included."""
    table = workload.texts(sizes.linear_rows)
    count = min(sizes.feature_texts, sizes.linear_rows)
    ours_flags = ["--kind", "text", "--texts", table.train, "--limit", count]
    rival_flags = ["--checkpoint", workload.checkpoint(), "--texts", table.train, "--limit", count]
    encode = "rivals/sentence_transformers_encode.py"
    with tempfile.TemporaryDirectory() as folder:
        ours_file, rival_file = Path(folder) / "ours.npy", Path(folder) / "rival.npy"
        sides = {
            "ours": lambda _: run_script("ours/features.py", *ours_flags, "--save", ours_file).figures(),
            "sentence-transformers": lambda _: run_script(encode, *rival_flags, "--save", rival_file).figures(),
            "sentence-transformers, bf16": lambda _: run_script(
                encode, *rival_flags, "--dtype", "bfloat16", "--batch_size", 128
            ).figures(),
            "matrix products": lambda _: _gemm(sizes),
        }
        if not fast_bf16():
            del sides["sentence-transformers, bf16"]
        figures = alternate(sides, sizes.repetitions)
        cosine = lowest_cosine(ours_file, rival_file)
    ours, products, kind = figures["ours"], figures["matrix products"], dtypes()[-1]
    shares = {
        shape: [
            100 * 2 * run["block_parameters"] * run["tokens"] / run["features_s"] / (rates[f"{shape}_{kind}"] * 1e9)
            for run, rates in zip(ours, products, strict=True)
        ]
        for shape in ("large", "encoder")
    }
    rates = column(ours, "per_s")
    rows = [
        compare(
            "text features", rates, column(figures["sentence-transformers"], "per_s"), unit="texts/s",
            rival_name="sentence-transformers, defaults", higher_is_better=True, target=4.5,
        ),
        quantity(
            f"share of the {'bf16' if kind == 'bfloat16' else kind} matrix product rate during extraction",
            shares["large"], unit="%", target=50, target_is="at least",
        ),
        quantity("the same share of the rate at the encoder's own shapes", shares["encoder"], unit="%"),
    ]  # fmt: skip
    if fast_bf16():
        rows.insert(
            1,
            compare(
                "text features", rates, column(figures["sentence-transformers, bf16"], "per_s"), unit="texts/s",
                rival_name="sentence-transformers, bf16, batch 128", higher_is_better=True, target=1.3,
            ),
        )  # fmt: skip
    notes = [
        f"Text features: {count:,} texts of {workload.LEAST} to {workload.MOST} tokens, MiniLM-L6; ours in "
        f"{ours[0]['dtype']}, lowest cosine to the rival's float32 vectors {cosine:.4f}. "
        "Share: 2 x parameters of the blocks x tokens (padding not counted) / time / rate."
        + ("" if fast_bf16() else f" The rival in {EMULATED}")
    ]
    return {"rows": rows, "notes": notes, "details": {"repetitions": figures, "lowest_cosine": cosine}}


def image_features(sizes: Sizes) -> dict:
    """Pooled features of images at 224 pixels, decoding and resizing included."""
    folder = workload.digits(sizes.images)
    weights = workload.image_checkpoint() / "model.safetensors"
    with tempfile.TemporaryDirectory() as saved:
        ours_file, rival_file = Path(saved) / "ours.npy", Path(saved) / "rival.npy"
        figures = alternate(
            {
                "ours": lambda _: run_script(
                    "ours/features.py", "--kind", "image", "--images", folder, "--save", ours_file
                ).figures(),
                "timm": lambda _: run_script(
                    "rivals/timm_features.py", "--weights", weights, "--images", folder, "--save", rival_file
                ).figures(),
            },
            sizes.repetitions,
        )
        cosine = lowest_cosine(ours_file, rival_file)
    row = compare(
        "image features", column(figures["ours"], "per_s"), column(figures["timm"], "per_s"), unit="images/s",
        rival_name="timm, float32", higher_is_better=True, target=4,
    )  # fmt: skip
    notes = [
        f"Image features: {sizes.images:,} MNIST digits as PNG files, EfficientNet-Lite0 at 224 pixels; ours in "
        f"{figures['ours'][0]['dtype']}, with nothing cached, lowest cosine to the rival's vectors {cosine:.4f}."
    ]
    return {"rows": [row], "notes": notes, "details": {"repetitions": figures, "lowest_cosine": cosine}}


def lowest_cosine(first: Path, second: Path) -> float:
    """Smallest cosine between corresponding rows: both sides did the same work."""
    import numpy as np

    a, b = np.load(first), np.load(second)
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def _gemm(sizes: Sizes) -> dict:
    flags = ["--side", sizes.gemm_side, "--rounds", sizes.repetitions, "--kinds", *dtypes()]
    return run_script("ours/gemm.py", *flags).figures()
