"""Our trainer against a hand-written PyTorch loop: the same batches in the same order, the same dtype, MiniLM whole.

python benchmarks/ours/trainer_overhead.py --train train.csv

Both sides collate their batches as they go, clip gradients, step AdamW and its schedule, and on a CPU draw dropout the
fast way: what is compared is the trainer alone. Timed from the first step to the end of training; what either sets up
before is told apart.
"""

import argparse
import copy
import json
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from transformers import TrainerCallback, get_linear_schedule_with_warmup, set_seed

BATCH = 16
LEARNING_RATE = 5e-5


class Stopwatch(TrainerCallback):
    """From the beginning of training to its end."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.start = now()

    def on_train_end(self, args, state, control, **kwargs):
        self.seconds = now() - self.start


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def by_trainer(model, rows, collate, steps: int, bf16: bool) -> dict:
    from hf_transfer import Supervised
    from hf_transfer.arguments import build_arguments
    from hf_transfer.objectives.step_loss import build_objective
    from hf_transfer.trainer import TransferTrainer

    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        settings = dict(
            max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=LEARNING_RATE, eval_strategy="no",
            save_strategy="no", train_sampling_strategy="sequential", bf16=bf16,
        )  # fmt: skip
        arguments = build_arguments(Path(folder), settings, ("accuracy",))
        start = now()
        trainer = TransferTrainer(
            model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[watch],
            objective=build_objective(Supervised(), "single_label_classification"),
        )  # fmt: skip
        trainer.train()
        whole = now() - start
    return {"seconds": watch.seconds, "setup_s": whole - watch.seconds}


def by_hand(model, rows, collate, steps: int, bf16: bool) -> dict:
    from hf_transfer.cpu.swap import FastRandomness
    from hf_transfer.length_chunks import LengthChunks

    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = now()
    model.to(device).train()
    # As the trainer does: what is measured is what it costs beyond the computation.
    LengthChunks(model)
    if device == "cpu":
        FastRandomness(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, steps)
    loader = torch.utils.data.DataLoader(rows, batch_size=BATCH, collate_fn=collate)
    begun = now()
    for _, batch in zip(range(steps), loader, strict=False):
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        labels = batch.pop("labels")
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            loss = torch.nn.functional.cross_entropy(model(**batch).logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    end = now()
    return {"seconds": end - begun, "setup_s": begun - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="CSV file with the columns text and label")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    asked = parser.parse_args()

    from features import text_rows

    from hf_transfer import NativeHead
    from hf_transfer.assembly import build_model
    from hf_transfer.data import Labels
    from hf_transfer.demo import demo_recipe
    from hf_transfer.inputs import collator, encode
    from hf_transfer.recipe_files import load_recipe

    backbone = demo_recipe(load_recipe("text/full_finetune")).backbone
    tokenizer = backbone.processor()
    rows = encode(backbone, tokenizer, text_rows(asked.train, asked.steps * BATCH))
    collate = collator(backbone, tokenizer)
    model = build_model(backbone, NativeHead(), Labels("single_label_classification", ("no", "yes")), tokenizer)
    sides = {"trainer": by_trainer, "loop": by_hand}
    found = {name: [] for name in sides}
    # The first pair warms up and is dropped.
    for pair in range(asked.pairs + 1):
        for name in list(sides)[:: 1 if pair % 2 else -1]:
            set_seed(0)
            figures = sides[name](copy.deepcopy(model), rows, collate, asked.steps, asked.dtype == "bfloat16")
            if pair:
                found[name].append(figures)
    print(json.dumps(found | {"dtype": asked.dtype, "steps": asked.steps, "batch": BATCH}))


if __name__ == "__main__":
    main()
