"""Features per second of this package on a warm model, tokenisation or decoding included.

python benchmarks/ours/features.py --kind text --texts train.csv --limit 3000
python benchmarks/ours/features.py --kind image --images FOLDER --image_size 224
"""

import argparse
import csv
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

START = time.perf_counter()


def ours_features(recipe, parts: dict, asked_dtype: str = "auto") -> dict:
    """Record pooled features of several parts, one after the other, into a fresh cache.

    Args:
        recipe (`Recipe`): its backbone is run; frozen, with a linear head.
        parts (`dict[str, datasets.Dataset]`): by name, rows with `label` and `text` or `image`.
        asked_dtype (`str`): `"auto"` takes what a run would take.

    Returns:
        `dict`: `seconds` by part, `pooled` by part (`np.ndarray` of shape `(rows, width)`, float32, in the order of
        the rows), `dtype`, and `block_parameters`, the number of weights that every token passes.
    """
    import torch
    from accelerate import PartialState

    from hf_transfer.assembly import build_model
    from hf_transfer.data import Labels
    from hf_transfer.features.splits import record_splits
    from hf_transfer.inputs import encode
    from hf_transfer.precision import choose, kind_of
    from hf_transfer.replay import replay_of

    state = PartialState()
    backbone, processor = recipe.backbone, recipe.backbone.processor()
    names = ("no", "yes")
    model = build_model(backbone, recipe.head, Labels("single_label_classification", names), processor)
    model = recipe.strategy.prepare(model, backbone.depths(model)).to(state.device)
    depths = backbone.depths(model)
    top = max(depths.values())
    dtype = choose("features", *kind_of(model), state.device, asked_dtype).dtype
    seconds, pooled = {}, {}
    for part, rows in parts.items():
        start = time.perf_counter()
        encoded = encode(backbone, processor, rows)
        recorded = record_splits(
            model,
            replay_of(model),
            backbone,
            processor,
            {part: encoded},
            {part: part},
            getattr(torch, dtype),
            state,
            checked=asked_dtype == "auto",
        )
        seconds[part] = time.perf_counter() - start
        pooled[part] = recorded.splits[part].__getitems__(list(range(len(rows))))["pooled"].numpy()
    return {
        "seconds": seconds,
        "pooled": pooled,
        "dtype": recorded.dtype,
        "block_parameters": sum(p.numel() for name, p in model.named_parameters() if 0 < depths[name] < top),
    }


def text_rows(path: str, limit: int | None):
    from datasets import Dataset

    with Path(path).open(newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:limit]
    return Dataset.from_dict({"text": texts, "label": [0] * len(texts)})


def image_rows(folder: str):
    from datasets import Dataset, Image

    paths = [str(path) for path in sorted(Path(folder).rglob("*.png"))]
    return Dataset.from_dict({"image": paths, "label": [0] * len(paths)}).cast_column("image", Image())


def real_tokens(backbone, texts: list[str]) -> int:
    """Tokens of all texts, `[CLS]` and `[SEP]` counted, padding not."""
    return sum(backbone.preprocess({"text": texts}, backbone.processor())["length"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", required=True, choices=("text", "image"))
    parser.add_argument("--texts", help="CSV file with the column text")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--images", help="folder of class folders")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--one_by_one", action="store_true", help="no batches side by side")
    parser.add_argument("--save", help="write the features to this .npy file")
    asked = parser.parse_args()

    import numpy as np

    from hf_transfer import streams
    from hf_transfer.demo import demo_recipe
    from hf_transfer.recipe_files import load_recipe

    if asked.one_by_one:
        streams.MOST = 1
    recipe = demo_recipe(load_recipe("text/linear_probe" if asked.kind == "text" else "vision/linear_probe"))
    if asked.kind == "text":
        rows = text_rows(asked.texts, asked.limit)
        tokens = real_tokens(recipe.backbone, list(rows["text"]))
    else:
        recipe = replace(recipe, backbone=replace(recipe.backbone, image_size=asked.image_size))
        rows, tokens = image_rows(asked.images), None
    with tempfile.TemporaryDirectory() as cache:
        os.environ["HF_TRANSFER_CACHE"] = cache  # nothing may be there already
        # The same 256 rows that warm up a rival; recorded under another name.
        done = ours_features(recipe, {"warm": rows.select(range(min(256, len(rows)))), "all": rows}, asked.dtype)
    if asked.save:
        np.save(asked.save, done["pooled"]["all"])
    features_s = done["seconds"]["all"]
    print(
        json.dumps(
            {
                "features_s": features_s,
                "per_s": len(rows) / features_s,
                "rows": len(rows),
                "tokens": tokens,
                "block_parameters": done["block_parameters"],
                "dtype": done["dtype"],
                "total_s": time.perf_counter() - START,
            }
        )
    )


if __name__ == "__main__":
    main()
