"""What else is said to speed an encoder up, at MiniLM's shape in bfloat16: attention, packed weights, torch.compile.

    python benchmarks/precision_extras.py            # two to three minutes on two idle cores
    python benchmarks/precision_extras.py --quick    # one length, within a minute

Texts per second of extraction for batches of exactly one length: PyTorch's fused attention (SDPA), the same in float32
within a bfloat16 net, and transformers' eager one, each without a mask and with the mask that one padded text brings;
on a CPU the weights of linear layers packed beforehand (`hf_transfer/cpu/packed.py`) or not, and packed with oneDNN's
GELU in the product; then the faster of SDPA and eager compiled by inductor for any length, with the seconds that costs
and the texts it takes to win them back. Writes benchmarks/results/precision_extras.json: this kind of device's entry
is replaced.
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
COMPILED = ("sdpa", "eager")
KERNELS = (*COMPILED, "sdpa_in_float32")


def encoder(kernel: str, device):
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface, BertModel
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register("sdpa_in_float32", in_float32)
    AttentionMaskInterface.register("sdpa_in_float32", sdpa_mask)
    torch.manual_seed(0)
    model = BertModel(config_of(WIDTH, attn_implementation=kernel), add_pooling_layer=False)
    return model.eval().to(device, torch.bfloat16)


def in_float32(module, query, key, value, attention_mask, **kwargs):
    """SDPA's kernel for a CPU, whose products of short rows are float32's in bfloat16 too."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    wide = (tensor.float() for tensor in (query, key, value))
    return sdpa_attention_forward(module, *wide, attention_mask, **kwargs)[0].to(query.dtype), None


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
    """Texts per second with the weights of linear layers as they are, packed, and packed with GELU in the product."""
    from hf_transfer.cpu.packed import pack_linear

    packed = copy.deepcopy(model).requires_grad_(False)
    if not pack_linear(packed):
        return {}
    batch = batch_of(rows, length, False, device)
    sides = {"as_it_is": model, "packed": packed, "packed_with_gelu": with_gelu(copy.deepcopy(model))}
    steps = {name: forward(side, batch) for name, side in sides.items()}
    rates = {name: rate * rows for name, rate in alternate(steps, repeats, seconds, device).items()}
    print(f"packing   length {length:4} " + ", ".join(f"{n} {r:,.0f}/s" for n, r in rates.items()), flush=True)
    return {
        **{f"{name}_per_s": shorten(rate) for name, rate in rates.items()},
        "speedup": round(rates["packed"] / rates["as_it_is"], 3),
        "speedup_with_gelu": round(rates["packed_with_gelu"] / rates["packed"], 3),
    }


def with_gelu(model):
    """Pack a BERT, its activation computed where a product is written."""
    import torch

    from hf_transfer.cpu.packed import PackedLinear, pack_linear

    class Activated(PackedLinear):
        def forward(self, inputs):
            return torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "gelu", [], "none")

    pack_linear(model.requires_grad_(False))
    for block in model.encoder.layer:
        block.intermediate.dense.__class__ = Activated
        block.intermediate.intermediate_act_fn = torch.nn.Identity()
    return model


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
    best = max(COMPILED, key=lambda name: geometric_mean(entry[f"{name}_per_s"] for entry in kernels.values()))
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
