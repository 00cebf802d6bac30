"""Float32 against bfloat16 on the machine at hand: the table that decides a run's dtype.

    python benchmarks/precision.py                            # everything, about four minutes on two idle cores
    python benchmarks/precision.py --quick                    # fewer and smaller batches, within a minute
    python benchmarks/precision.py --only features/encoder    # phases and kinds whose names begin so
    python benchmarks/precision.py --device cpu               # where a GPU would be taken

Weights are random: speed does not depend on them. Both dtypes run in turn, so that a machine that drifts moves both.
Writes hf_transfer/precision.json: this kind of device's rows are replaced, those of other kinds kept. A row is one
kind of model at one size; its figures are geometric means over its cases (lengths), so that its speed-up is the
geometric mean of theirs: one epoch has texts of every length, and one dtype for them all.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median

TABLE = Path(__file__).resolve().parents[1] / "hf_transfer" / "precision.json"
DTYPES = ("float32", "bfloat16")
LENGTHS, SIDES = (16, 32, 128), (96, 160, 224)
LAYERS = {128: 2, 384: 6, 768: 3}  # BERT-base has 12; three of them take the same time each
VOCABULARY = 30_522  # BERT's own
NETS = (  # a depthwise net gains and loses where one of dense convolutions does not
    *(("cnn", "resnet18", side) for side in SIDES),
    *(("cnn-depthwise", "tf_efficientnet_lite0", side) for side in SIDES),
    ("vit", "vit_tiny_patch16_224", 224),
)
TEXTS, IMAGES = 32, 16  # rows of a training step
HEAD_ROWS = {"lstm": 64, "pooled": 256, "mlp": 256}
STATES = (25, 384)  # tokens of a short text, width of a token state
CLASSES = 10


@dataclass(frozen=True)
class Case:
    """One thing to time.

    Args:
        phase (`str`), kind (`str`), size (`int`): the row of the table it counts towards.
        name (`str`): which of the row's cases.
        rows (`int`): texts or images in a step.
        step (`Callable`): dtype to a function that does one step.
    """

    phase: str
    kind: str
    size: int
    name: str
    rows: int
    step: Callable[[str], Callable[[], None]]


def cases(device, quick: bool) -> Iterator[Case]:
    """All that is measured; nothing is built before it is its turn."""
    from hf_transfer.batching import PIXELS, TOKENS

    part = 2 if quick else 1
    tokens, pixels = TOKENS[device.type] // part, PIXELS[device.type] // part
    texts, images = TEXTS // part, IMAGES // part
    for width in LAYERS:
        for length in LENGTHS[1:2] if quick else LENGTHS:
            rows = tokens // length
            step = text_features(width, rows, length, device)
            yield Case("features", "encoder", width, f"length {length}", rows, step)
            step = text_training(width, texts, length, device)
            yield Case("train", "encoder", width, f"length {length}", texts, step)
    for kind, net, side in NETS:
        rows = pixels // side**2
        yield Case("features", kind, side, net, rows, image_features(net, rows, side, device))
        yield Case("train", kind, side, net, images, image_training(net, images, side, device))
    for hidden in (64, 256):
        rows = HEAD_ROWS["lstm"]
        yield Case("train", "lstm", hidden, "2 layers", rows, lstm_training(hidden, rows, device))
    for width in (384, 1280):
        for kind, hidden_sizes in (("pooled", ()), ("mlp", (256,))):
            rows = HEAD_ROWS[kind]
            step = pooled_training(width, hidden_sizes, rows, device)
            yield Case("train", kind, width, f"hidden {hidden_sizes[0]}" if hidden_sizes else "linear", rows, step)


# ---------------------------------------------------------------------------------------------------------------------
# What is timed


def encoder_config(width: int, **changes):
    from transformers import BertConfig

    layers = LAYERS[width]
    return BertConfig(
        # A cut encoder gets its share of the embeddings, which cost the optimizer as much per weight.
        vocab_size=VOCABULARY * layers // 12 if width == 768 else VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(2, width // 64) if width != 384 else 12,  # MiniLM's heads are 32 wide
        num_labels=CLASSES,
        **changes,
    )


def text_features(width: int, rows: int, length: int, device, **changes):
    """Extraction as the package does it: texts of one length, no padding, no mask."""

    def build(dtype: str):
        import torch
        from transformers import BertModel

        config = encoder_config(width, **changes)
        model = BertModel(config, add_pooling_layer=False).eval().to(device, getattr(torch, dtype))
        ids = torch.randint(0, config.vocab_size, (rows, length), device=device)
        return inference(lambda: model(input_ids=ids))

    return build


def text_training(width: int, rows: int, length: int, device):
    """Fine-tuning on texts of like length, padded a little."""

    def build(dtype: str):
        import torch
        from transformers import BertForSequenceClassification

        config = encoder_config(width)
        model = BertForSequenceClassification(config).to(device)
        ids = torch.randint(0, config.vocab_size, (rows, length), device=device)
        real = torch.randint(length * 7 // 8, length + 1, (rows, 1), device=device)
        mask = (torch.arange(length, device=device) < real).long()
        return training(model, lambda: model(input_ids=ids, attention_mask=mask).logits, rows, dtype, device)

    return build


def image_net(name: str, device):
    import timm
    import torch

    return timm.create_model(name, num_classes=CLASSES).to(device, memory_format=torch.channels_last)


def pixel_values(rows: int, side: int, device):
    import torch

    return torch.randn(rows, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)


def image_features(name: str, rows: int, side: int, device):
    def build(dtype: str):
        import torch

        net = image_net(name, device).eval().to(getattr(torch, dtype))
        pixels = pixel_values(rows, side, device).to(getattr(torch, dtype))
        return inference(lambda: net.forward_head(net.forward_features(pixels), pre_logits=True))

    return build


def image_training(name: str, rows: int, side: int, device):
    def build(dtype: str):
        net, pixels = image_net(name, device), pixel_values(rows, side, device)
        return training(net, lambda: net(pixels), rows, dtype, device)

    return build


def lstm_training(hidden: int, rows: int, device):
    """The LSTM head on recorded token states."""

    def build(dtype: str):
        import torch

        from hf_transfer.hub.heads_transfer import Features, LSTMHead

        head = LSTMHead(STATES[1], CLASSES, hidden_size=hidden).to(device)
        features = Features(
            torch.randn(rows, *STATES, device=device), torch.ones(rows, STATES[0], dtype=torch.long, device=device)
        )
        return training(head, lambda: head(features), rows, dtype, device)

    return build


def pooled_training(width: int, hidden_sizes: tuple[int, ...], rows: int, device):
    """A linear or an MLP head on recorded vectors."""

    def build(dtype: str):
        import torch

        from hf_transfer.hub.heads_transfer import Features, MLPHead

        head = MLPHead(width, CLASSES, hidden_sizes=hidden_sizes).to(device)
        features = Features(pooled=torch.randn(rows, width, device=device))
        return training(head, lambda: head(features), rows, dtype, device)

    return build


def inference(forward: Callable) -> Callable[[], None]:
    import torch

    @torch.inference_mode()
    def step() -> None:
        forward()

    return step


def training(model, forward: Callable, rows: int, dtype: str, device) -> Callable[[], None]:
    """Forward, backward and AdamW: float32 weights, and for bfloat16 autocast around the forward pass."""
    import torch

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)  # fused is Trainer's default
    labels = torch.randint(0, CLASSES, (rows,), device=device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = forward()
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


# ---------------------------------------------------------------------------------------------------------------------
# Timing


def alternate(steps: dict[str, Callable[[], None]], repeats: int, seconds: float, device) -> dict[str, float]:
    """Time several steps in turn.

    Args:
        steps (`dict[str, Callable]`): what to time, by name.
        repeats (`int`): turns of each.
        seconds (`float`): how long one turn should last; a longer step is done once.

    Returns:
        `dict[str, float]`: steps per second, the median of the turns.
    """
    counts, rates = {}, {name: [] for name in steps}
    for name, step in steps.items():
        first = turn(step, 1, device)  # chooses and compiles kernels, so it says little about the next
        counts[name] = 1 if first > 10 * seconds else max(1, round(seconds / turn(step, 1, device)))
    for _ in range(repeats):
        for name, step in steps.items():
            rates[name].append(counts[name] / turn(step, counts[name], device))
    return {name: median(values) for name, values in rates.items()}


def turn(step: Callable[[], None], count: int, device) -> float:
    """Seconds that `count` steps take, until the device is done with them."""
    wait(device)
    start = time.perf_counter()
    for _ in range(count):
        step()
    wait(device)
    return time.perf_counter() - start


def wait(device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


# ---------------------------------------------------------------------------------------------------------------------
# The table


def row_of(here: str, phase: str, kind: str, size: int, found: dict[str, dict[str, float]]) -> dict:
    """One row of the table from its cases' rates."""
    means = {dtype: geometric_mean(rates[dtype] for rates in found.values()) for dtype in DTYPES}
    return {
        "device": here,
        "phase": phase,
        "kind": kind,
        "size": size,
        **{f"{dtype}_per_s": shorten(means[dtype]) for dtype in DTYPES},
        "speedup": round(means["bfloat16"] / means["float32"], 3),
        "cases": {
            name: {f"{dtype}_per_s": shorten(rates[dtype]) for dtype in DTYPES} for name, rates in found.items()
        },
    }


def shorten(value: float) -> float:
    """Four significant digits: more than two runs agree on."""
    return float(f"{value:.4g}")


def describe(device) -> dict:
    """What the figures of a device depend on besides its kind."""
    import timm
    import torch
    import transformers

    cuda = device.type == "cuda"
    return {
        "name": torch.cuda.get_device_name(device) if cuda else torch.cpu.get_capabilities().get("cpu_name", ""),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "timm": timm.__version__,
    }


def merge(old: dict, here: str, about: dict, rows: list[dict], whole: bool) -> dict:
    """Put new rows into a table.

    Args:
        whole (`bool`): the new rows are all there are of this device; otherwise its other rows stay.
    """
    keys = {key_of(row) for row in rows}
    kept = [row for row in old["rows"] if key_of(row) not in keys and not (whole and row["device"] == here)]
    return {"devices": {**old["devices"], here: about}, "rows": sorted([*kept, *rows], key=key_of)}


def key_of(row: dict) -> tuple:
    return row["device"], row["phase"], row["kind"], row["size"]


def as_text(table: dict) -> str:
    """JSON with one row of the table per line, so that a new measurement is a readable diff."""
    devices = json.dumps(table["devices"], indent=2, sort_keys=True).replace("\n", "\n  ")
    rows = ",\n".join(f"    {json.dumps(row)}" for row in table["rows"])
    return f'{{\n  "devices": {devices},\n  "rows": [\n{rows}\n  ]\n}}\n'


def save(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def measure(device, repeats: int, seconds: float, quick: bool, only: list[str]) -> list[dict]:
    """Time all cases that are asked for and fold them into rows."""
    from hf_transfer.precision import device_kind

    found = {}
    for case in cases(device, quick):
        if only and not any(f"{case.phase}/{case.kind}".startswith(name) for name in only):
            continue
        steps = {dtype: case.step(dtype) for dtype in DTYPES}
        rates = {dtype: rate * case.rows for dtype, rate in alternate(steps, repeats, seconds, device).items()}
        found.setdefault((case.phase, case.kind, case.size), {})[case.name] = rates
        print(
            f"{case.phase:8} {case.kind:13} {case.size:5} {case.name:22}"
            f" float32 {rates['float32']:10,.0f}/s  bfloat16 {rates['bfloat16']:10,.0f}/s"
            f"  {rates['bfloat16'] / rates['float32']:.2f} times",
            flush=True,
        )
    return [row_of(device_kind(device), *key, rates) for key, rates in found.items()]


def parse(doc: str) -> argparse.ArgumentParser:
    """The flags that both precision benchmarks share."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--device", help="cpu or cuda; by default cuda where there is one")
    parser.add_argument("--quick", action="store_true", help="fewer lengths and sides, shorter repeats")
    return parser


def device_of(asked: str | None):
    import torch

    return torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))


def main() -> None:
    parser = parse(__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="PHASE/KIND", help="such as train or features/cnn")
    asked = parser.parse_args()

    from hf_transfer.precision import check_table, device_kind

    device = device_of(asked.device)
    start = time.perf_counter()
    repeats, seconds = (3, 0.05) if asked.quick else (5, 0.3)
    rows = measure(device, repeats, seconds, asked.quick, asked.only)
    if not rows:
        parser.error(f"nothing is called {' '.join(asked.only)}")
    old = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {"devices": {}, "rows": []}
    table = merge(old, device_kind(device), describe(device), rows, whole=not asked.only)
    check_table(table)
    save(TABLE, as_text(table))
    print(f"{TABLE.name}: {len(rows)} rows for {device_kind(device)} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
