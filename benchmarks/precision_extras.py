"""What else is said to speed an encoder up, at MiniLM's shape in bfloat16: attention, packed weights, torch.compile.

    python benchmarks/precision_extras.py            # two to three minutes on two idle cores
    python benchmarks/precision_extras.py --quick    # one length, within a minute

Texts per second of extraction for batches of exactly one length: PyTorch's fused attention (SDPA) and transformers'
eager one, each without a mask and with the mask that one padded text brings; on a CPU the weights of linear layers
packed beforehand (`hf_transfer/cpu/packed.py`) or not; then the faster of the two kernels compiled by inductor for any
length, with the seconds that costs and the texts it takes to win them back. Writes
benchmarks/results/precision_extras.json: this kind of device's entry is replaced.
"""

import copy
import json
import os
import time
from pathlib import Path
from statistics import geometric_mean

os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")  # a second run would find its kernels compiled

from harness import write_results  # noqa: E402
from precision import alternate, describe, device_of, inference, parse, shorten  # noqa: E402
from precision import encoder_config as config_of  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "precision_extras.json"
WIDTH, LENGTHS = 384, (16, 32, 64, 128)
KERNELS = ("sdpa", "eager")


def encoder(kernel: str, device):
    import torch
    from transformers import BertModel

    torch.manual_seed(0)
    model = BertModel(config_of(WIDTH, attn_implementation=kernel), add_pooling_layer=False)
    return model.eval().to(device, torch.bfloat16)


def batch_of(rows: int, length: int, masked: bool, device) -> dict:
    """Token ids of one length; with `masked` the first text is one token shorter."""
    import torch

    ids = torch.randint(0, 1000, (rows, length), device=device)
    if not masked:
        return {"input_ids": ids}
    mask = torch.ones_like(ids)
    mask[0, -1] = 0
    return {"input_ids": ids, "attention_mask": mask}


def forward(model, batch: dict):
    return inference(lambda: model(**batch))


def attention(models: dict, length: int, rows: int, repeats: int, seconds: float, device) -> dict[str, float]:
    """Texts per second of each kernel, without and with a mask."""
    steps = {
        kernel + (" with mask" if masked else ""): forward(model, batch_of(rows, length, masked, device))
        for kernel, model in models.items()
        for masked in (False, True)
    }
    return {name: rate * rows for name, rate in alternate(steps, repeats, seconds, device).items()}


def packing(model, length: int, rows: int, repeats: int, seconds: float, device) -> dict[str, float]:
    """Texts per second with the weights of linear layers as they are, and packed."""
    from hf_transfer.cpu.packed import pack_linear

    packed = copy.deepcopy(model).requires_grad_(False)
    if not pack_linear(packed):
        return {}
    batch = batch_of(rows, length, False, device)
    steps = {"as_it_is": forward(model, batch), "packed": forward(packed, batch)}
    rates = {name: rate * rows for name, rate in alternate(steps, repeats, seconds, device).items()}
    print(f"packing   length {length:4} " + ", ".join(f"{n} {r:,.0f}/s" for n, r in rates.items()), flush=True)
    return {
        **{f"{name}_per_s": shorten(rate) for name, rate in rates.items()},
        "speedup": round(rates["packed"] / rates["as_it_is"], 3),
    }


def compiled(model, lengths, tokens: int, repeats: int, seconds: float, device) -> dict:
    """A model as it is and compiled, at several lengths.

    Returns:
        `dict`: seconds until the compiled model has seen every length once, texts per second of both, and how many
        texts the compiled one must read before the whole is faster.
    """
    import torch

    # Lengths differ from batch to batch, so one graph for all of them: each of its own would be compiled anew.
    fast = torch.compile(model, dynamic=True)
    batches = {length: batch_of(tokens // length, length, False, device) for length in lengths}
    start = time.perf_counter()
    for batch in batches.values():
        forward(fast, batch)()
    wait_s = time.perf_counter() - start
    result = {"compile_s": round(wait_s, 1), "lengths": {}}
    for length, batch in batches.items():
        steps = {"as_it_is": forward(model, batch), "compiled": forward(fast, batch)}
        rates = alternate(steps, repeats, seconds, device)
        plain, quick = (rates[name] * (tokens // length) for name in steps)
        gain = 1 / plain - 1 / quick
        result["lengths"][length] = {
            "as_it_is_per_s": shorten(plain),
            "compiled_per_s": shorten(quick),
            "speedup": round(quick / plain, 3),
            "texts_to_break_even": round(wait_s / gain) if gain > 0 else None,
        }
        print(f"compile   length {length:4} {plain:8,.0f}/s, compiled {quick:8,.0f}/s", flush=True)
    return result


def main() -> None:
    asked = parse(__doc__).parse_args()

    from hf_transfer.batching import TOKENS
    from hf_transfer.precision import device_kind

    device = device_of(asked.device)
    lengths, repeats, seconds = (LENGTHS[1:2], 3, 0.05) if asked.quick else (LENGTHS, 5, 0.3)
    tokens = TOKENS[device.type]
    models = {kernel: encoder(kernel, device) for kernel in KERNELS}
    kernels = {}
    for length in lengths:
        rates = attention(models, length, tokens // length, repeats, seconds, device)
        kernels[length] = {f"{name} per_s".replace(" ", "_"): shorten(rate) for name, rate in rates.items()}
        print(f"attention length {length:4} " + ", ".join(f"{n} {r:,.0f}/s" for n, r in rates.items()), flush=True)
    best = max(KERNELS, key=lambda name: geometric_mean(entry[f"{name}_per_s"] for entry in kernels.values()))
    entry = {
        "dtype": "bfloat16",
        "width": WIDTH,
        "tokens_per_batch": tokens,
        "attention": kernels,
        "packing": {n: packing(models["sdpa"], n, tokens // n, repeats, seconds, device) for n in lengths},
        "compile": {"attention": best, **compiled(models[best], lengths, tokens, repeats, seconds, device)},
        **describe(device),
    }
    content = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    content[device_kind(device)] = entry
    write_results(RESULTS, content)


if __name__ == "__main__":
    main()
