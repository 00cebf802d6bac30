"""Self time of the operators of an encoder, by kind: extracting features of texts, and a full fine-tuning step.

python benchmarks/ours/operators.py --texts train.csv --limit 3000 --phase extraction
"""

import argparse
import json
import time

from features import real_tokens, text_rows

KINDS = {
    "optimizer": ("optimizer", "adam", "clip", "foreach"),
    "dropout": ("bernoulli", "random_", "dropout"),
    "matrix products": ("linear", "addmm", "aten::mm", "mkldnn", "onednn"),
    "attention": ("attention", "bmm", "softmax"),
    "activation": ("gelu",),
    "normalisation": ("layer_norm",),
    "embeddings": ("embedding", "index"),
    "copies and casts": ("copy", "_to_", "fill", "zero", "empty"),
}
BATCH = 32  # rows of a training step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", required=True, help="CSV file with the column text")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--phase", choices=("extraction", "fine-tuning"), required=True)
    asked = parser.parse_args()

    from torch.profiler import ProfilerActivity, profile

    rows = text_rows(asked.texts, asked.limit)
    steps, facts = (extraction if asked.phase == "extraction" else fine_tuning)(rows)
    for step in steps[:: max(1, len(steps) // 8)]:
        step()
    start = time.perf_counter()
    for step in steps:
        step()
    whole_s = time.perf_counter() - start
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for step in steps:
            step()
    seconds = dict.fromkeys([*KINDS, "other"], 0.0)
    for entry in seen.key_averages():
        name = entry.key.lower()
        kind = next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other")
        seconds[kind] += entry.self_cpu_time_total / 1e6
    seconds = {kind: round(value, 2) for kind, value in seconds.items() if value >= 0.005}
    print(json.dumps({**facts, "rows": len(rows), "seconds": round(whole_s, 2), "self_s": seconds}))


def extraction(rows):
    """The batches that extraction makes, each through the encoder alone."""
    import torch
    from transformers import AutoModel

    from hf_transfer.batching import by_length
    from hf_transfer.cpu.packed import pack_linear
    from hf_transfer.inputs import collator, encode
    from hf_transfer.precision import choose, kind_of

    backbone, processor = demo_backbone("text/linear_probe")
    encoded, collate = encode(backbone, processor, rows), collator(backbone, processor)
    model = AutoModel.from_pretrained(backbone.checkpoint, add_pooling_layer=False).eval()
    dtype = choose("features", *kind_of(model), torch.device("cpu"), "auto").dtype
    model = model.to(getattr(torch, dtype)).requires_grad_(False)
    pack_linear(model)

    def step(ids):
        with torch.inference_mode():
            model(input_ids=ids)

    # Of one length, so without a mask.
    batches = [collate(list(encoded.select(n)))["input_ids"] for n in by_length(encoded["length"][:])]
    facts = {"dtype": dtype, "tokens": real_tokens(backbone, list(rows["text"])), "batches": len(batches)}
    return [lambda ids=ids: step(ids) for ids in batches], facts


def fine_tuning(rows):
    """Steps of full fine-tuning as the trainer takes them: forward, backward, clipping and AdamW."""
    import torch
    from torch import nn

    from hf_transfer import NativeHead
    from hf_transfer.assembly import build_model
    from hf_transfer.cpu.swap import FastRandomness
    from hf_transfer.data import Labels
    from hf_transfer.inputs import collator, encode
    from hf_transfer.length_chunks import LengthChunks
    from hf_transfer.precision import choose, kind_of
    from hf_transfer.sampling import GlobalBatches

    backbone, processor = demo_backbone("text/full_finetune")
    encoded, collate = encode(backbone, processor, rows), collator(backbone, processor)
    model = build_model(backbone, NativeHead(), Labels("single_label_classification", ("no", "yes")), processor)
    dtype = choose("train", *kind_of(model), torch.device("cpu"), "auto").dtype
    LengthChunks(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    FastRandomness(model.train())

    def step(batch):
        labels = batch["labels"]
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
        nn.functional.cross_entropy(logits.float(), labels).backward()
        with torch.profiler.record_function("clip"):
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    plan = GlobalBatches(
        len(rows),
        BATCH,
    )
    batches = [collate(list(encoded.select(numbers))) for numbers in plan]
    facts = {"dtype": dtype, "tokens": real_tokens(backbone, list(rows["text"])), "batches": len(batches)}
    return [lambda batch=batch: step(batch) for batch in batches], facts


def demo_backbone(recipe: str):
    """The embedded encoder as a recipe reads it, and its tokenizer."""
    from hf_transfer import load_recipe
    from hf_transfer.demo import demo_recipe

    backbone = demo_recipe(load_recipe(recipe)).backbone
    return backbone, backbone.processor()


if __name__ == "__main__":
    main()
